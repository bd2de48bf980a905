"""From samples to columns: lives, gaps, thinning, and the load taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.history import (
    MOST_POINTS,
    Columns,
    columns_of,
    lives_of,
    without_load,
)
from leakguard._core.samples import Sample
from tests.core.builders import quick
from tests.core.memories import COUNT, MIB, PERIOD_SECONDS, history, level, rising

if TYPE_CHECKING:
    from collections.abc import Sequence


def lengths(samples: Sequence[Sample]) -> list[int]:
    return [len(life) for life in lives_of(samples)]


def columns(samples: Sequence[Sample]) -> Columns:
    found = columns_of(samples)
    assert found is not None
    return found


# Lives


def test_no_samples_are_no_life() -> None:
    assert lengths([]) == []


def test_a_counter_that_falls_back_begins_a_new_life() -> None:
    samples = history([9] * 6, requests_total=[5, 8, 9, 0, 2, 4])
    assert lengths(samples) == [3, 3]


def test_a_counter_that_falls_back_is_seen_across_a_gap() -> None:
    samples = history([9] * 6, requests_total=[5, 8, None, None, 2, 4])
    assert lengths(samples) == [4, 2]


def test_a_fall_of_memory_is_no_restart_while_the_counter_goes_on() -> None:
    samples = history(
        [90, 90, None, 10, 10, 10],
        cgroup_limit_bytes=[100] * 6,
        requests_total=[5, 8, None, 11, 12, 14],
    )
    assert lengths(samples) == [6]


def test_a_fall_after_a_sample_without_memory_begins_a_new_life() -> None:
    assert lengths(history([90, 90, None, 10, 10])) == [3, 2]


def test_a_sample_without_memory_alone_is_a_gap() -> None:
    assert lengths(history([90, 90, None, 80, 90])) == [5]


def test_a_fall_from_near_the_limit_is_a_kill() -> None:
    assert lengths(history([50, 90, 10, 20], cgroup_limit_bytes=[100] * 4)) == [2, 2]


@pytest.mark.parametrize("limit", [None, 0, 1000])
def test_a_fall_from_below_any_limit_is_freed_memory(limit: int | None) -> None:
    assert lengths(history([50, 90, 10], cgroup_limit_bytes=[limit] * 3)) == [3]


@quick
@given(st.lists(st.tuples(*[st.none() | st.integers(0, 100)] * 3)))
def test_lives_hold_every_sample_once_and_in_order(
    rows: list[tuple[int | None, int | None, int | None]],
) -> None:
    samples = [
        Sample(float(at), rss, cgroup_limit_bytes=limit, requests_total=requests)
        for at, (rss, limit, requests) in enumerate(rows)
    ]
    lives = lives_of(samples)
    assert all(lives)
    assert [sample for life in lives for sample in life] == samples


# Columns


@pytest.mark.parametrize(
    "samples", [[], history([None] * 40), history(requests_total=range(40))]
)
def test_without_memory_there_are_no_columns(samples: list[Sample]) -> None:
    assert columns_of(samples) is None


def test_resident_memory_is_that_of_the_process() -> None:
    samples = history([70] * 9, cgroup_usage_bytes=[100] * 9)
    assert columns(samples).resident == [70] * 9


def test_a_group_alone_is_seen_by_its_working_set() -> None:
    found = columns(
        history(cgroup_usage_bytes=[100] * 9, cgroup_inactive_file_bytes=[30] * 9)
    )
    assert found.resident == [70] * 9
    assert found.outside is None


def test_file_pages_read_after_the_usage_leave_no_working_set_below_zero() -> None:
    found = columns(
        history(cgroup_usage_bytes=[10] * 9, cgroup_inactive_file_bytes=[30] * 9)
    )
    assert found.resident == [0] * 9


def test_what_the_group_holds_beside_the_process_is_its_working_set_without_it() -> (
    None
):
    found = columns(
        history(
            [70] * 9, cgroup_usage_bytes=[150] * 9, cgroup_inactive_file_bytes=[50] * 9
        )
    )
    assert found.outside == [30] * 9


def test_gaps_are_filled_with_the_value_before_or_the_first() -> None:
    samples = history([9] * 5, in_use_bytes=[None, 4, 5, 6, 7])
    assert columns(samples).heap == [4, 4, 5, 6, 7]
    samples = history([9] * 5, in_use_bytes=[4, 5, None, 6, 7])
    assert columns(samples).heap == [4, 5, 5, 6, 7]


def test_a_column_mostly_unknown_is_not_recorded() -> None:
    samples = history([9] * 6, in_use_bytes=[4, 5, None, 6, None, None])
    assert columns(samples).heap is None


def test_samples_without_memory_are_left_out_of_all_columns() -> None:
    found = columns(history([5, None, 6, 7], requests_total=[1, 2, 3, 4]))
    assert found.seconds == [0, 2 * PERIOD_SECONDS, 3 * PERIOD_SECONDS]
    assert found.requests == [1, 3, 4]
    assert found.samples == 3


def test_an_interpreter_that_counts_no_blocks_has_none() -> None:
    assert columns(history([9] * 5, python_blocks=[0] * 5)).blocks is None
    assert columns(history([9] * 5, python_blocks=[7] * 5)).blocks == [7] * 5


def test_a_long_life_is_thinned_in_all_columns_alike() -> None:
    found = columns(
        history(
            level(rising(9)),
            in_use_bytes=level(),
            python_blocks=range(1, COUNT + 1),
            cgroup_usage_bytes=level(base=150),
            requests_total=range(COUNT),
            in_flight=[1] * COUNT,
        )
    )
    every = found.heap, found.blocks, found.outside, found.in_flight, found.requests
    assert {len(column or []) for column in every} == {MOST_POINTS}
    assert len(found.seconds) == len(found.resident) == MOST_POINTS
    assert found.samples == COUNT


def test_what_counts_against_the_limit_is_the_last_that_is_known() -> None:
    group = {"cgroup_usage_bytes": [90] * 3, "cgroup_inactive_file_bytes": [20] * 3}
    assert columns(history([50, 60, 65])).used_bytes == 65
    assert columns(history([50, 60, 65], **group)).used_bytes == 70
    unreclaimable = columns(history([5] * 3, unreclaimable_bytes=[7, 8, 9], **group))
    assert unreclaimable.used_bytes == 9


def test_the_last_limit_that_was_known_is_in_force() -> None:
    samples = history([9] * 4, cgroup_limit_bytes=[100, 200, None, 0])
    assert columns(samples).limit_bytes == 200
    assert columns(history([9] * 4)).limit_bytes is None


# Load

FLIGHT = [float(at * 7919 % 23) for at in range(96)]


def test_what_follows_the_requests_in_flight_is_taken_out() -> None:
    values = [100 * MIB + MIB * n for n in FLIGHT]
    assert without_load(values, FLIGHT) == pytest.approx([100 * MIB] * 96)


def test_a_leak_stays_when_the_load_is_taken_out() -> None:
    values = [at * MIB + 5 * MIB * n for at, n in enumerate(FLIGHT)]
    rest = without_load(values, FLIGHT)
    assert rest[-1] - rest[0] == pytest.approx(95 * MIB, rel=0.05)


def test_a_load_that_rises_with_the_leak_does_not_explain_it() -> None:
    values = [MIB * (at + 5.0 * (at * 31 % 7)) for at in range(96)]
    load = [float(at + at * 7919 % 5) for at in range(96)]
    assert without_load(values, load) == values


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(None, id="unknown"),
        pytest.param([1.0, 2.0] * 48, id="never more than one request more"),
        pytest.param([-n for n in FLIGHT], id="memory falls when the load rises"),
        pytest.param([float(at * 31 % 7) for at in range(96)], id="another rhythm"),
    ],
)
def test_a_load_that_explains_nothing_changes_nothing(load: list[float] | None) -> None:
    values = [100 * MIB + MIB * n for n in FLIGHT]
    assert without_load(values, load) == values
