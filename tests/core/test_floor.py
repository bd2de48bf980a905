"""The floor of a column: what memory never falls below again, as far as was seen."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.floor import floor_of, ground_of
from tests.core.builders import quick

LEAST = 5.0


def swings(
    count: int, *, period: int, high: int, top: float, slope: float = 0.0
) -> list[float]:
    """Return a line with excursions to ``top``, ``high`` points of each period."""
    return [
        slope * at + (top if at % period >= period - high else 0.0)
        for at in range(count)
    ]


def test_the_floor_is_the_lowest_value_from_there_on() -> None:
    assert floor_of([5, 1, 4, 2, 3, 9]) == [1, 1, 2, 2, 3, 9]
    assert floor_of([]) == []


@quick
@given(st.lists(st.floats(-1e12, 1e12)))
def test_a_floor_never_falls_and_is_never_above(values: list[float]) -> None:
    floor = floor_of(values)
    assert all(earlier <= later for earlier, later in pairwise(floor))
    assert all(low <= value for low, value in zip(floor, values, strict=True))


def test_a_line_is_its_own_floor_but_for_the_last_point() -> None:
    line = [float(at) for at in range(50)]
    ground = ground_of(line, 5, LEAST)
    assert (ground.start, ground.floor) == (5, line[5:-1])
    assert ground.swing == 0
    assert ground.lows == ()


def test_rare_peaks_leave_out_as_much_of_the_end_as_the_longest() -> None:
    values = swings(100, period=20, high=4, top=50)
    ground = ground_of(values[:96], 0, LEAST)
    assert ground.swing == 50
    assert len(ground.floor) == 96 - 4


def test_a_peak_at_the_end_is_not_taken_for_a_higher_floor() -> None:
    values = swings(100, period=20, high=4, top=50)
    assert max(ground_of(values, 0, LEAST).floor) == 0


def test_swings_below_the_least_growth_are_noise() -> None:
    values = swings(100, period=2, high=1, top=LEAST)
    assert len(ground_of(values, 0, LEAST).floor) == 99


def test_a_rising_floor_under_a_busy_load_goes_through_its_valleys() -> None:
    values = swings(200, period=20, high=10, top=100, slope=1)
    ground = ground_of(values, 0, LEAST)
    # The last valley only confirms the ones before.
    assert ground.lows == pytest.approx([0, 20, 40, 60, 80, 100, 120, 140, 160])
    assert ground.start == 0
    assert ground.floor == pytest.approx(range(160), abs=1)


def test_a_busy_load_over_a_flat_floor_has_flat_valleys() -> None:
    values = swings(200, period=20, high=10, top=100)
    assert set(ground_of(values, 0, LEAST).floor) == {0}


def test_growth_between_two_valleys_alone_shows_nothing() -> None:
    values = swings(200, period=20, high=10, top=100)
    stepped = [value + 60 * (at > 100) for at, value in enumerate(values)]
    assert set(ground_of(stepped, 0, LEAST).floor) == {0}


def test_too_few_valleys_show_no_more_than_the_beginning() -> None:
    values = swings(60, period=30, high=20, top=100, slope=0.1)
    assert len(ground_of(values, 6, LEAST).floor) == 2


def test_growth_larger_than_the_swings_needs_no_valleys() -> None:
    values = swings(100, period=5, high=2, top=40, slope=2)
    ground = ground_of(values, 10, LEAST)
    assert ground.lows == ()
    assert ground.floor[-1] - ground.floor[0] > 150


@quick
@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=100), st.data())
def test_what_was_seen_lies_within_the_column(
    values: list[float], data: st.DataObject
) -> None:
    warm = data.draw(st.integers(0, (len(values) - 1) // 10))
    ground = ground_of(values, warm, LEAST)
    assert ground.start >= warm
    assert 1 <= len(ground.floor) <= len(values) - ground.start
    assert ground.swing >= 0
    rises = [later - earlier for earlier, later in pairwise(ground.floor)]
    assert min(rises, default=0) >= -1e-3
