"""Rows get times that grow, close to what their stamps say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.logs_time import even_times


def times(*stamps: float | None, tick_seconds: float = 1.0) -> list[float]:
    return even_times(range(len(stamps)), stamps, tick_seconds)


def test_without_stamps_steps_are_even_and_gaps_stay() -> None:
    assert even_times([3, 4, 9], [None] * 3, 0.5) == [0.0, 0.5, 3.0]


def test_stamps_that_grow_are_kept() -> None:
    assert times(100.0, 101.5, 110.0) == [0.0, 1.5, 10.0]


def test_stamps_cut_to_whole_seconds_are_spread() -> None:
    assert times(5.0, 5.0, 6.0, 6.0, 7.0, 7.0) == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


def test_rows_before_a_hole_are_not_spread_over_it() -> None:
    assert times(0.0, 0.0, 1.0, 1.0, 60.0, 61.0) == [0.0, 0.5, 1.0, 1.5, 60.0, 61.0]


def test_a_clock_set_back_goes_on_by_one_step() -> None:
    assert times(0.0, 1.0, 2.0, 0.0, 1.0) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_rows_without_a_stamp_lie_where_they_stand() -> None:
    assert times(None, None, 9.0, None, 10.0) == [0.0, 1.0, 2.0, 2.5, 3.0]


def test_one_time_for_all_is_spread_by_the_step() -> None:
    assert times(7.0, 7.0, tick_seconds=4.0) == [0.0, 2.0]


@given(
    st.lists(st.none() | st.floats(-1e15, 1e15), min_size=1, max_size=30),
    st.floats(1e-6, 1e6),
)
def test_times_always_grow(stamps: list[float | None], tick_seconds: float) -> None:
    found = times(*stamps, tick_seconds=tick_seconds)
    assert len(found) == len(stamps)
    assert all(earlier < later for earlier, later in pairwise(found))


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30))
def test_growing_stamps_come_back(steps: list[int]) -> None:
    stamps = [sum(steps[: n + 1]) / 8 for n in range(len(steps))]
    assert times(*stamps) == pytest.approx([stamp - stamps[0] for stamp in stamps])
