"""The shape of one column: flat, rising, settled, or not to be told."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.shape import Shape, read_shape
from tests.core.builders import quick

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COUNT = 96
LEAST = 5.0


def shape_of(
    value: Callable[[int], float], work: Sequence[float] | None = None
) -> Shape:
    """Return the shape of a column given point by point."""
    values = [value(at) for at in range(COUNT)]
    return read_shape(range(COUNT), values, work, least=LEAST)


def work_in_bursts(at: int) -> float:
    """Return the requests done by then: ten a point, and none for every other dozen."""
    return sum(10.0 for before in range(at) if before % 24 < 12)


def test_a_constant_is_flat() -> None:
    shape = shape_of(lambda _: 50)
    assert (shape.law, shape.risen, shape.swing, shape.level) == ("flat", 0, 0, 50)


def test_growth_below_the_least_is_flat() -> None:
    assert shape_of(lambda at: at / COUNT * LEAST).law == "flat"


def test_a_straight_line_rises() -> None:
    shape = shape_of(float)
    assert shape.law == "rising"
    assert shape.late_ratio == pytest.approx(1, abs=0.05)


def test_growth_that_gets_faster_rises() -> None:
    assert shape_of(lambda at: at * at / 50).law == "rising"


def test_a_slowly_bending_power_law_rises() -> None:
    assert shape_of(lambda at: 20 * at**0.7).law == "rising"


@pytest.mark.parametrize("full_at", [0.2, 0.4, 0.6, 0.75])
def test_a_cache_that_fills_to_its_bound_settles(full_at: float) -> None:
    assert shape_of(lambda at: min(at, full_at * COUNT)).law == "settled"


@pytest.mark.parametrize("time_constants", [3, 5, 10])
def test_exponential_saturation_settles(time_constants: float) -> None:
    shape = shape_of(lambda at: 200 * (1 - math.exp(-time_constants * at / COUNT)))
    assert shape.law == "settled"


def test_a_leak_after_a_plateau_rises() -> None:
    assert shape_of(lambda at: max(0, at - 50)).law == "rising"


def test_warming_up_is_no_growth() -> None:
    shape = shape_of(lambda at: min(50, 10 * max(0, at - 2)))
    assert shape.law == "flat"
    assert shape.warmed == 50


def test_one_great_step_settles() -> None:
    assert shape_of(lambda at: 90 * (at > 60)).law == "settled"


def test_a_line_with_one_great_step_rises() -> None:
    assert shape_of(lambda at: at + 90 * (at > 60)).law == "rising"


def test_a_few_late_steps_are_the_last_entries_of_a_cache() -> None:
    assert shape_of(lambda at: 20 * sum(at > k for k in (30, 60, 88))).law == "settled"


def test_growth_that_rests_with_the_load_rises() -> None:
    shape = shape_of(work_in_bursts)
    assert shape.law == "rising"


def test_growth_that_rests_longer_than_ever_before_has_stopped() -> None:
    assert shape_of(lambda at: work_in_bursts(min(at, 60))).law == "settled"


def test_growth_may_follow_the_requests_instead_of_the_clock() -> None:
    done = [at - at * at / (2.2 * COUNT) for at in range(COUNT)]
    assert shape_of(lambda at: done[at] * 3).law == "settled"
    assert shape_of(lambda at: done[at] * 3, done).law == "rising"


def test_what_comes_back_is_swing_and_not_growth() -> None:
    shape = shape_of(lambda at: 40 * (at % 12 > 8))
    assert (shape.law, shape.swing) == ("flat", 40)


def test_a_rising_floor_shows_under_a_sawtooth() -> None:
    shape = shape_of(lambda at: at + 40 * (at % 12) / 12)
    assert shape.law == "rising"
    assert shape.risen == pytest.approx(0.9 * COUNT, abs=12)


def test_growth_small_beside_what_came_back_is_flat() -> None:
    assert shape_of(lambda at: at / 12 + 300 * (at % 12 > 3)).law == "flat"


def test_a_swing_as_long_as_the_history_tells_nothing() -> None:
    shape = shape_of(lambda at: 50 * math.sin(math.pi * at / COUNT))
    assert shape.law == "unclear"


def test_one_spike_is_not_seen() -> None:
    assert shape_of(lambda at: 1000 * (at == 50)).swing == 0


@pytest.mark.parametrize("count", [1, 2, 3, 5, 30])
def test_short_columns_have_a_shape(count: int) -> None:
    assert read_shape(range(count), [7.0] * count, None, least=LEAST).risen == 0


@quick
@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=96))
def test_numbers_are_never_negative_and_the_floor_only_rises(
    values: list[float],
) -> None:
    shape = read_shape(range(len(values)), values, None, least=LEAST)
    tiny = 1e-6 * (1 + max(values))
    assert shape.swing >= 0
    assert shape.late_ratio >= 0
    assert shape.risen >= shape.floor[-1] - shape.floor[0] - tiny
    assert all(later - earlier >= -tiny for earlier, later in pairwise(shape.floor))
    assert len(shape.floor) == len(shape.seconds) == len(shape.work)
