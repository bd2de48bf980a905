"""Robust estimates: what a spike must not change, and what they are on a line."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.robust import (
    index_at,
    median,
    quantile,
    rate_between,
    slopes,
    smooth,
    steps_in,
    stretches,
    theil_sen,
    thin,
)
from tests.core.builders import quick

numbers = st.integers(-(2**40), 2**40)
gaps = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=300)


def times(steps: list[float]) -> list[float]:
    found = [0.0]
    for step in steps:
        found.append(found[-1] + step)
    return found


@pytest.mark.parametrize(
    ("values", "middle"), [([3.0], 3.0), ([3, 1, 2], 2.0), ([4, 1, 2, 3], 2.5)]
)
def test_the_median_is_the_middle_or_the_mean_of_both(
    values: list[float], middle: float
) -> None:
    assert median(values) == middle


@pytest.mark.parametrize(("share", "value"), [(0.0, 0), (0.5, 5), (0.97, 9), (1.0, 9)])
def test_a_quantile_is_a_value_of_its_rank(share: float, value: float) -> None:
    assert quantile(range(9, -1, -1), share) == value


def test_smoothing_drops_a_spike_and_keeps_a_step() -> None:
    assert smooth([1, 1, 9, 1, 1]) == [1, 1, 1, 1, 1]
    assert smooth([1, 1, 9, 9, 9]) == [1, 1, 9, 9, 9]


@pytest.mark.parametrize("values", [[], [4.0], [4.0, 6.0]])
def test_smoothing_keeps_the_length_of_the_shortest_columns(
    values: list[float],
) -> None:
    assert len(smooth(values)) == len(values)


def test_slopes_leave_out_pairs_of_one_moment() -> None:
    assert slopes([0, 0, 1], [5, 7, 9]) == [2, 4]


def test_the_slope_of_a_line_is_exact_and_its_interval_is_narrow() -> None:
    assert theil_sen(range(50), [3 * x + 7 for x in range(50)]) == (3, 3, 3)


def test_one_spike_does_not_move_the_slope() -> None:
    line = [3.0 * x for x in range(50)]
    line[20] = 1e9
    found = theil_sen(range(50), line)
    assert found is not None
    assert found[0] == pytest.approx(3)


def test_the_interval_of_a_bent_line_holds_both_its_slopes() -> None:
    found = theil_sen(
        range(60), [x if x < 30 else 30 + 3 * (x - 30) for x in range(60)]
    )
    assert found is not None
    slope, low, high = found
    assert low == pytest.approx(1)
    assert 1 < slope < 3
    assert high == pytest.approx(3)


@pytest.mark.parametrize("xs", [[], [1.0], [1.0, 1.0]])
def test_there_is_no_slope_without_two_moments(xs: list[float]) -> None:
    assert theil_sen(xs, xs) is None


@quick
@given(
    gaps.filter(lambda steps: len(steps) < 40), st.data(), st.sampled_from([0.25, 8.0])
)
def test_the_slope_follows_the_scale_of_values(
    steps: list[float], data: st.DataObject, scale: float
) -> None:
    xs = times(steps)
    ys = data.draw(st.lists(numbers, min_size=len(xs), max_size=len(xs)))
    plain, scaled = theil_sen(xs, ys), theil_sen(xs, [scale * y for y in ys])
    assert plain is not None
    assert scaled == pytest.approx([scale * slope for slope in plain])
    assert plain[1] <= plain[0] <= plain[2]


def test_a_short_column_is_not_thinned() -> None:
    ranges = stretches(range(5), 5)
    assert thin([9, 8, 7, 6, 5], ranges) == [9, 8, 7, 6, 5]


def test_a_long_column_is_thinned_to_medians_of_equal_time() -> None:
    seconds = range(30)
    ranges = stretches(seconds, 10)
    assert ranges == [(at, at + 3) for at in range(0, 30, 3)]
    assert thin(seconds, ranges) == list(range(1, 30, 3))


def test_a_burst_of_samples_is_one_stretch_and_a_hole_is_none() -> None:
    seconds = [*(at / 100 for at in range(90)), 50, 100]
    assert stretches(seconds, 10) == [(0, 90), (90, 91), (91, 92)]


@quick
@given(gaps, st.integers(1, 96))
def test_stretches_hold_every_sample_once(steps: list[float], most: int) -> None:
    xs = times(steps)
    ranges = stretches(xs, most)
    assert 0 < len(ranges) <= most
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(xs)
    assert all(low < high for low, high in ranges)
    assert all(before[1] == after[0] for before, after in pairwise(ranges))


def test_steps_are_counted_by_how_evenly_a_floor_grew() -> None:
    assert steps_in(range(21)) == 20
    assert steps_in([0, 0, 0, 9, 9, 9]) == 1
    assert steps_in([0, 5, 5, 5, 10, 10]) == 2
    assert steps_in([4, 4, 4]) == 0


def test_a_share_of_the_axis_is_a_share_of_its_time_not_of_its_points() -> None:
    seconds = [0, 1, 2, 3, 4, 100]
    assert [index_at(seconds, share) for share in (0, 0.04, 0.5, 1)] == [0, 4, 4, 5]


def test_the_rate_between_two_shares_is_that_of_their_ends() -> None:
    assert rate_between([0, 1, 2, 3, 4], [0, 9, 10, 11, 40], 0.25, 0.75) == 1


def test_there_is_no_rate_where_no_time_passes() -> None:
    assert rate_between([5, 5, 5], [1, 2, 3], 0, 1) == 0
