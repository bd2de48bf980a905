"""When a short trial has seen enough, and what counts as growth in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core import trial
from leakguard._core.judge import LEAST_CALLS, Picture
from leakguard._core.records import Owner
from leakguard._core.trial import (
    QUIET_CALLS,
    SLOWING_CALLS,
    SURE,
    Terms,
    Witness,
    goes_on,
    is_over,
    is_proven,
    is_suspicious,
    is_undecided,
    next_goal,
    seen_so_far,
    stopped,
    time_for,
    undecided,
)
from tests.core.builders import APP, PACKAGE, law, look, quick, row, suspect, watch

if TYPE_CHECKING:
    from leakguard._core.growth import Law
    from leakguard._core.observe import Checkpoint, GrowthRow

FRAME = (APP, 41)
SURE_CALLS = SURE[0][0]
TERMS = Terms(64.0, 1.0, None, 48 << 20)


def picture(*rows: GrowthRow, native: Law | None = None) -> Picture:
    return Picture(100, rows, native, None)


def pair(calls: int, seconds: float = 0.1, traced: int = 0) -> list[Checkpoint]:
    return [look(2, 0.01), look(calls, seconds, traced_bytes=traced)]


# --- what is seen --------------------------------------------------------------------


def test_a_small_object_in_each_call_is_seen() -> None:
    looks = watch(100, {FRAME: lambda n: (64 * n, n)}, blocks=lambda n: 90_000 + n)
    seen = seen_so_far(looks)
    assert [found.frame for found in seen.steady_rows] == [FRAME]
    assert is_suspicious(seen, replace(TERMS, allowed_bytes_per_call=48.0))
    assert not is_suspicious(seen, replace(TERMS, allowed_bytes_per_call=80.0))


def test_what_takes_the_place_of_older_blocks_is_no_growth() -> None:
    looks = watch(100, {FRAME: lambda n: (64 * n, n)}, blocks=lambda _n: 90_000)
    assert seen_so_far(looks).rows == ()


def test_uncounted_blocks_are_no_witness() -> None:
    looks = watch(100, {FRAME: lambda n: (64 * n, n)}, blocks=lambda _n: 0)
    assert seen_so_far(looks).steady_rows


def test_a_list_that_is_resized_does_not_hide_what_is_put_into_it() -> None:
    def held(n: int) -> tuple[int, int]:
        return (n * 133 + (n > 100) * 38_000, n)

    looks = watch(300, {FRAME: held}, blocks=lambda n: 90_000 + n)
    (found,) = seen_so_far(looks).steady_rows
    assert found.size.slope == pytest.approx(133, rel=0.1)


def test_a_little_native_growth_is_none() -> None:
    slow = watch(200, {}, native=lambda n: 1_000 * n)
    fast = watch(200, {}, native=lambda n: 20_000 * n)
    assert seen_so_far(slow).native is None
    seen = seen_so_far(fast)
    assert seen.native is not None
    assert is_suspicious(seen, TERMS)
    assert seen_so_far(fast, ("python",)).native is None


def test_only_what_is_asked_for_counts() -> None:
    looks = watch(100, {FRAME: lambda n: (640 * n, n)}, blocks=lambda n: 90_000 + n)
    assert seen_so_far(looks, ("native",)).rows == ()
    assert seen_so_far(looks).resident is None


def test_a_buffer_that_grows_is_seen_without_any_blocks() -> None:
    looks = watch(200, {FRAME: lambda n: (640 * n, 1)}, blocks=lambda _n: 90_000)
    assert [found.frame for found in seen_so_far(looks).steady_rows] == [FRAME]


# --- when to stop --------------------------------------------------------------------


@quick
@given(st.integers(0, 10_000))
def test_goals_grow(done: int) -> None:
    assert next_goal(done) > done
    assert done < 100 or next_goal(done) <= done * 1.4


@pytest.mark.parametrize(
    ("calls", "suspicious", "seconds"),
    [(1, False, 6.0), (1, True, 6.0), (16, False, 0.6), (16, True, 1.8)],
)
def test_slow_and_suspicious_tests_have_more_time(
    calls: int, *, suspicious: bool, seconds: float
) -> None:
    assert time_for(calls, TERMS, suspicious=suspicious) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seen", "enough"),
    [
        (picture(), QUIET_CALLS),
        (picture(row(shape="decaying")), SLOWING_CALLS),
        (picture(row(shape="linear", slope=20.0)), QUIET_CALLS),
        (picture(row(shape="linear", slope=100.0)), SURE_CALLS),
        (picture(row(shape="unclear", slope=100.0)), SURE_CALLS),
        (picture(native=law(slope=100.0)), SURE_CALLS),
        (picture(native=law("flat", slope=100.0)), QUIET_CALLS),
    ],
)
def test_calls_are_enough_sooner_where_nothing_grows(
    seen: Picture, enough: int
) -> None:
    assert not is_over(pair(enough - 1), seen, TERMS)
    assert is_over(pair(enough), seen, TERMS)


def test_time_and_memory_end_a_trial() -> None:
    growing = picture(row(slope=100.0))
    assert is_over(pair(20, 0.7), picture(), TERMS)
    assert not is_over(pair(20, 0.7), growing, TERMS)
    assert is_over(pair(20, 2.0), growing, TERMS)
    assert not is_over(pair(8, 2.0), growing, TERMS)
    assert is_over(pair(8, 7.0), growing, TERMS)
    assert is_over(pair(20, traced=49 << 20), growing, TERMS)
    assert not is_over(pair(8, traced=49 << 20), growing, TERMS)


def test_much_growth_is_believed_after_fewer_calls() -> None:
    growing = picture(row(slope=100.0))
    for calls, size in SURE:
        assert is_over(pair(calls, traced=size), growing, TERMS)
        assert not is_over(pair(calls - 1, traced=size), growing, TERMS)


def test_a_number_of_calls_is_kept() -> None:
    terms = replace(TERMS, calls=40)
    assert not is_over(pair(39, 100.0), picture(), terms)
    assert is_over(pair(40), picture(row(slope=1e6)), terms)


# --- what to believe -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "blocks", "heap_bytes", "expected"),
    [
        ((row(slope=64.0),), 60, 0, True),
        ((row(slope=64.0),), 2, 1 << 20, False),
        ((row(slope=64.0),), None, 0, True),
        ((row(slope=64.0, blocks=0.1),), 0, 0, True),
        ((row(slope=64_000.0),), 60, 4 << 20, True),
        ((row(slope=64_000.0),), 60, 1_000, False),
        ((row(slope=64_000.0),), 60, None, True),
        ((row(slope=600.0, blocks=0.5),), 0, 0, False),
        ((row(slope=100.0, blocks=0.1),), 0, 0, True),
    ],
)
def test_growth_has_to_go_on_at_depth(
    rows: tuple[GrowthRow, ...],
    blocks: int | None,
    heap_bytes: int | None,
    *,
    expected: bool,
) -> None:
    assert goes_on(picture(*rows), Witness(60, blocks, heap_bytes)) is expected


def test_growth_without_a_holder_must_exceed_what_the_interpreter_keeps() -> None:
    small = replace(
        suspect(), owner=None, growth_bytes_per_call=80.0, growth_count_per_call=1.0
    )
    assert not is_proven([small], 300)
    assert is_proven([small], 700)
    assert is_proven([replace(small, growth_bytes_per_call=1e5)], 20)
    assert not is_proven([replace(small, growth_bytes_per_call=500.0)], 100)
    assert is_proven([replace(small, growth_bytes_per_call=500.0)], 300)
    one_buffer = replace(small, growth_count_per_call=0.0)
    assert not is_proven([one_buffer], 300)
    assert is_proven([one_buffer], 500)
    assert is_proven([replace(small, owner=Owner("shop.cache"))], 20)
    assert is_proven([replace(small, pattern="cycle")], 20)
    unknown = replace(small, growth_bytes_per_call=None, growth_count_per_call=None)
    assert not is_proven([unknown], 10_000)


def test_what_is_open_at_the_end_is_undecided() -> None:
    linear, unclear = row(slope=100.0), row((PACKAGE, 3), "unclear", slope=100.0)
    assert is_undecided(pair(LEAST_CALLS - 1), picture(), TERMS)
    assert is_undecided(pair(100), picture(unclear), TERMS)
    assert not is_undecided(pair(100), picture(linear, unclear), TERMS)
    assert not is_undecided(pair(100), picture(row(shape="decaying")), TERMS)


def test_a_trial_that_could_not_tell_says_what_would_decide() -> None:
    few = undecided(pair(5, 6.0), picture(), TERMS)
    assert few.kind == "unknown"
    assert few.reason == (
        "5 calls in 6 s are too few to tell a leak from a warm-up; "
        "seconds=64 would decide it."
    )
    counted = undecided(pair(100), picture(row(grown=2048)), replace(TERMS, calls=100))
    assert "(2.0 KiB came in the later half of them); calls=400 would" in counted.reason


def test_growth_that_stopped_is_a_cache() -> None:
    verdict = stopped(100)
    assert (verdict.kind, verdict.growth_bytes_per_call) == ("cache", 0.0)
    assert "100 calls" in verdict.reason


def test_a_quiet_test_takes_a_tenth_of_the_calls_of_a_leak() -> None:
    assert trial.QUIET_CALLS * 9 < SURE_CALLS
