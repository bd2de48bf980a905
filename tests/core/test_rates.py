"""Growth per second from windows, and the verdict over a watched run."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.rates import (
    LEAST_WINDOWS,
    Burst,
    Total,
    blocks_law,
    heap_law,
    is_rising,
    judge_run,
    rate_rows,
)
from tests.core.builders import APP, PACKAGE, quick, suspect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEAK, FLIGHT = (APP, 41), (PACKAGE, 7)
#: Lengths of windows in seconds, as a run is watched: a short cycle, then long ones.
SHORT_CYCLE = (0.025, 0.1, 0.05, 0.2)
LONG_CYCLE = (0.2, 0.8, 0.4, 1.6)


def arrivals(rnd: random.Random, rate: float, seconds: float) -> int:
    """Return how many requests come in so long, at random and independently."""
    at, count = rnd.expovariate(rate), 0
    while at < seconds:
        count += 1
        at += rnd.expovariate(rate)
    return count


def bursts_of(
    *sites: tuple[tuple[str, int], Callable[[float], int]],
    lengths: Sequence[float] = SHORT_CYCLE + LONG_CYCLE,
    block_bytes: int = 1024,
) -> list[Burst]:
    """Return windows in which each site left so many blocks behind."""
    found = []
    for index, seconds in enumerate(lengths):
        counted = {frame: survivors(seconds) for frame, survivors in sites}
        seen = {f: (n * block_bytes, n) for f, n in counted.items() if n > 0}
        found.append(Burst(index * 5.0, seconds, seen))
    return found


def run(
    seconds: float = 60.0,
    *,
    blocks: Callable[[float], float] = lambda _t: 500_000,
    heap: Callable[[float], float] | None = lambda _t: 50 << 20,
) -> list[Total]:
    """Return a program's counters, four times a second."""
    stamps = [tick / 4 for tick in range(int(seconds * 4) + 1)]
    return [
        Total(t, int(blocks(t)), None if heap is None else int(heap(t))) for t in stamps
    ]


# --- rates


@quick
@given(st.integers(0, 2**32), st.integers(500, 2_000), st.integers(32, 100_000))
def test_a_leaks_rate_is_found_within_15_percent_of_the_truth(
    seed: int, per_second: int, block_bytes: int
) -> None:
    rnd = random.Random(seed)
    rows = rate_rows(
        bursts_of(
            (LEAK, lambda seconds: arrivals(rnd, per_second, seconds)),
            lengths=SHORT_CYCLE + 2 * LONG_CYCLE,
            block_bytes=block_bytes,
        )
    )
    assert [row.frame for row in rows] == [LEAK]
    assert rows[0].size.slope == pytest.approx(per_second * block_bytes, rel=0.15)
    assert rows[0].blocks.slope == pytest.approx(per_second, rel=0.15)
    assert rows[0].size.confidence > 0.95


def test_what_is_in_flight_is_no_leak() -> None:
    rnd = random.Random(1)
    rows = rate_rows(
        bursts_of(
            (LEAK, lambda seconds: arrivals(rnd, 100, seconds)),
            (FLIGHT, lambda _seconds: rnd.randint(40, 60)),
        )
    )
    assert [row.frame for row in rows] == [LEAK]


def test_a_leak_with_much_in_flight_is_told_from_it() -> None:
    rows = rate_rows(bursts_of((LEAK, lambda seconds: 500 + round(100 * seconds))))
    assert rows[0].blocks.slope == pytest.approx(100, rel=0.02)
    assert rows[0].blocks.intercept == pytest.approx(500, rel=0.02)


def test_the_fastest_leak_comes_first() -> None:
    rows = rate_rows(
        bursts_of(
            (FLIGHT, lambda seconds: round(200 * seconds)),
            (LEAK, lambda seconds: round(900 * seconds)),
        )
    )
    assert [row.frame for row in rows] == [LEAK, FLIGHT]


def test_what_is_seen_in_few_windows_is_no_leak() -> None:
    only_in_long = (LEAK, lambda seconds: 5_000 if seconds > 0.7 else 0)
    assert not rate_rows(bursts_of(only_in_long))


def test_fewer_survivors_in_longer_windows_are_no_leak() -> None:
    assert not rate_rows(bursts_of((LEAK, lambda seconds: round(100 / seconds))))


@pytest.mark.parametrize("count", range(LEAST_WINDOWS))
def test_too_few_windows_show_no_rate(count: int) -> None:
    leak = (LEAK, lambda seconds: round(1000 * seconds))
    assert not rate_rows(bursts_of(leak, lengths=LONG_CYCLE[:count]))


# --- the program's own totals


def test_the_totals_laws_are_those_of_the_run() -> None:
    totals = run(blocks=lambda t: 500_000 + 1_000 * t, heap=lambda t: 1_000_000 * t)
    assert blocks_law(totals).shape == "linear"
    heap = heap_law(totals)
    assert heap is not None
    assert heap.shape == "linear"
    assert heap.slope * 1000 == pytest.approx(1_000_000)


def test_a_heap_that_is_not_read_has_no_law() -> None:
    assert heap_law(run(heap=None)) is None
    gap = [*run(10), Total(10.5, 500_000, None)]
    assert heap_law(gap) is None


@pytest.mark.parametrize(
    ("totals", "rising"),
    [
        (run(), False),
        (run(heap=None), False),
        (run(blocks=lambda t: 500_000 + 100 * t), True),
        (run(blocks=lambda t: 500_000 + 100 * t, heap=None), True),
        (run(heap=lambda t: 50_000_000 + 100_000 * t), True),
        (run(blocks=lambda t: 500_000 + 1_000 * min(t, 10)), False),
        ([], False),
    ],
)
def test_a_program_rises_by_its_blocks_or_its_heap(
    totals: list[Total], *, rising: bool
) -> None:
    assert is_rising(totals) is rising


# --- the verdict

WINDOWS = bursts_of((LEAK, lambda seconds: round(1000 * seconds)))


@pytest.mark.parametrize("count", range(LEAST_WINDOWS))
def test_too_few_windows_decide_nothing_and_say_what_would(count: int) -> None:
    found = judge_run(WINDOWS[:count], run(2.0), [suspect()])
    assert found.kind == "unknown"
    assert found.confidence <= 0.5
    assert f"{count} of the {LEAST_WINDOWS} windows" in found.reason
    assert "longer run" in found.reason


def test_a_run_that_has_not_begun_is_unknown() -> None:
    assert judge_run([], [], []).kind == "unknown"


def test_suspects_in_a_program_that_rises_are_a_leak() -> None:
    totals = run(blocks=lambda t: 500_000 + 1_000 * t)
    suspects = [suspect(1000, confidence=0.9), suspect(24, confidence=0.85)]
    found = judge_run(WINDOWS, totals, [*suspects, suspect(None)])
    assert found.kind == "leak"
    assert found.growth_bytes_per_second == 1024
    assert found.growth_bytes_per_call is None
    assert found.confidence == 0.9
    assert "1.0 KiB per second" in found.reason


def test_suspects_in_a_program_that_does_not_rise_only_turn_over() -> None:
    found = judge_run(WINDOWS, run(), [suspect()])
    assert found.kind == "steady"
    assert found.growth_bytes_per_second == 0


def test_a_heap_that_grows_while_blocks_stand_still_is_a_native_leak() -> None:
    quiet = bursts_of((FLIGHT, lambda _seconds: 3))
    found = judge_run(quiet, run(heap=lambda t: 50e6 + 1_048_576 * t), [])
    assert found.kind == "native-leak"
    assert found.growth_bytes_per_second == pytest.approx(1_048_576)
    assert "1.0 MiB per second" in found.reason


@pytest.mark.parametrize("heap", [None, lambda _t: 50e6])
def test_a_program_that_stands_still_is_steady(
    heap: Callable[[float], float] | None,
) -> None:
    assert judge_run(WINDOWS, run(heap=heap), []).kind == "steady"


def test_a_warm_up_is_no_native_leak() -> None:
    totals = run(heap=lambda t: 50e6 + 1e6 * min(t, 40))
    assert judge_run(WINDOWS, totals, []).kind == "steady"


def test_large_objects_of_pythons_in_the_c_heap_are_not_native() -> None:
    kept = bursts_of((LEAK, lambda seconds: int(20 * seconds)), block_bytes=50_000)
    totals = run(heap=lambda t: 50e6 + 1e6 * t)
    assert judge_run(kept, totals, []).kind == "steady"


def test_a_program_whose_blocks_rise_all_the_time_is_not_called_steady() -> None:
    totals = run(blocks=lambda t: 500_000 + 10_000 * t)
    assert judge_run(WINDOWS, totals, []).kind != "steady"
