"""The growth law: what goes on for ever, what slows down, what stands still."""

from __future__ import annotations

import math
import random
import sys
from collections import deque
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leakguard._core.growth import MOST_CONFIDENCE, Law, fit_growth, fit_line
from tests.core.builders import looks_at, quick

if TYPE_CHECKING:
    from collections.abc import Callable

#: What the smallest diagnosis that decides and the longest usual one come to.
CALLS = st.integers(64, 60_000)
#: Those after which the last look is as far from the one before as all others.
FULL_CALLS = st.sampled_from([n for n in looks_at(60_000)[:-1] if n >= 64])
#: Bytes per call, from one small object in a thousand calls to a megabyte a call.
SLOPES = st.floats(0.1, 1e6)
SERIES = st.tuples(CALLS, st.randoms(use_true_random=False)).map(
    lambda pair: (
        looks_at(pair[0]),
        [pair[1].randrange(1 << 30) for _ in looks_at(pair[0])],
    )
)


def shape_of(calls: int, total: Callable[[int], float], floor: float = 0.0) -> str:
    return fit(calls, total, floor).shape


def fit(calls: int, total: Callable[[int], float], floor: float = 0.0) -> Law:
    counts = looks_at(calls)
    return fit_growth(counts, [total(n) for n in counts], floor=floor)


def container_sizes(calls: int, box: object, add: Callable[[int], object]) -> Law:
    """Fit what a real container's own memory comes to, one entry per call."""
    empty, counts, sizes = sys.getsizeof(box), looks_at(calls), []
    for n in range(1, calls + 1):
        add(n)
        if n == counts[len(sizes)]:
            sizes.append(sys.getsizeof(box) - empty)
    return fit_growth(counts, sizes, floor=256)


# --- what goes on


@quick
@given(FULL_CALLS, SLOPES, st.floats(0, 1e9), st.randoms(use_true_random=False))
def test_a_leak_is_linear_under_noise_whatever_its_rate(
    calls: int, slope: float, before: float, rnd: random.Random
) -> None:
    noise = 0.02 * slope * calls
    found = fit(calls, lambda n: before + slope * n + rnd.uniform(-noise, noise))
    assert found.shape == "linear"
    assert found.slope == pytest.approx(slope, rel=0.15)
    assert found.confidence > 0.9


def test_a_wobble_in_a_short_last_stretch_does_not_hide_a_leak() -> None:
    calls = looks_at(759)
    assert calls[-2:] == [758, 759]
    kept = [*calls[:-1], 759 - 3]  # three requests fewer in flight than before
    assert fit_growth(calls, [1024.0 * n for n in kept]).shape == "linear"


@quick
@given(st.integers(20_000, 60_000), st.floats(0.2, 1.0), st.integers(0, 2**32))
def test_a_leak_of_some_calls_only_is_linear(
    calls: int, share: float, seed: int
) -> None:
    rnd = random.Random(seed)
    kept, totals = 0, {}
    for n in range(1, calls + 1):
        kept += rnd.random() < share
        totals[n] = kept * 1024
    found = fit(calls, totals.__getitem__)
    assert found.shape == "linear"
    assert found.slope == pytest.approx(1024 * share, rel=0.15)


@quick
@given(CALLS, st.integers(1, 500), SLOPES)
def test_a_leak_in_every_so_many_calls_is_linear(
    calls: int, every: int, size: float
) -> None:
    assume(calls >= 60 * every)
    assert shape_of(calls, lambda n: n // every * size) == "linear"


def test_an_accelerating_leak_is_linear_too() -> None:
    assert shape_of(3_000, lambda n: float(n * n)) == "linear"


@quick
@given(CALLS, st.floats(0.05, 8.0))
def test_a_table_that_doubles_over_a_leak_is_linear(calls: int, entries: float) -> None:
    assume(calls * entries >= 60)

    def table_bytes(n: int) -> int:
        slots = 8
        while n * entries > slots * 2 / 3:
            slots *= 2
        return slots * 24 if slots > 8 else 0

    assert shape_of(calls, table_bytes, floor=256) == "linear"


@pytest.mark.parametrize("calls", [200, 500, 1_234, 4_000, 20_000])
@pytest.mark.parametrize("kind", ["dict", "list", "deque", "bytearray"])
def test_the_own_memory_of_a_growing_container_is_linear(kind: str, calls: int) -> None:
    adding: dict[str, tuple[object, Callable[[int], object]]] = {
        "dict": (by_key := {}, lambda n: by_key.__setitem__(n, None)),
        "list": (a_list := [], a_list.append),
        "deque": (a_deque := deque(), a_deque.append),
        "bytearray": (text := bytearray(), lambda n: text.extend(b"%16d" % n)),
    }
    assert container_sizes(calls, *adding[kind]).shape == "linear"


# --- what slows down

#: name -> (share of the calls after which it bends or is full) -> total at n calls.
BOUNDED: dict[str, Callable[[float], Callable[[float], float]]] = {
    "a cache that evicts": lambda bend: lambda x: min(x, bend),
    "a cache under random keys": lambda bend: lambda x: 1 - math.exp(-x / bend),
    "a memo of ever rarer keys": lambda bend: lambda x: math.log1p(x / bend),
    "a pool that saturates": lambda bend: lambda x: x / (x + bend),
    "a search for new words": lambda bend: lambda x: (x / bend) ** 0.5,
}


@pytest.mark.parametrize("name", BOUNDED)
@quick
@given(calls=CALLS, bend=st.floats(0.001, 0.5), size=SLOPES)
def test_what_has_bent_is_never_linear(
    name: str, calls: int, bend: float, size: float
) -> None:
    total = BOUNDED[name](bend)
    assert shape_of(calls, lambda n: total(n / calls) * size * calls) != "linear"


@quick
@given(st.integers(10, 2_000), st.integers(2, 40), st.integers(0, 2**32))
def test_collecting_coupons_is_never_linear(
    coupons: int, rounds: int, seed: int
) -> None:
    calls = max(200, coupons * rounds)
    rnd, seen, totals = random.Random(seed), set(), {}
    for n in range(1, calls + 1):
        seen.add(rnd.randrange(coupons))
        totals[n] = len(seen) * 512
    assert shape_of(calls, totals.__getitem__, floor=256) != "linear"


@quick
@given(st.integers(200, 60_000), st.floats(0.01, 0.3))
def test_the_table_of_a_cache_that_is_full_is_never_linear(
    calls: int, full_at: float
) -> None:
    def table_bytes(n: int) -> int:
        slots = 8
        while min(n, calls * full_at) > slots * 2 / 3:
            slots *= 2
        return slots * 24 if slots > 8 else 0

    assert shape_of(calls, table_bytes, floor=256) != "linear"


def test_growth_that_has_just_come_to_rest_is_not_linear() -> None:
    calls = [1, 2, 4, 8, 16, 32, 64, 128, 200, 256, 300, 340]
    totals = [0, 0, 0, 0, 0, 0, 0, 100, 280, 390, 400, 400]
    assert fit_growth(calls, totals).shape == "decaying"


def test_growth_with_a_setback_in_the_later_half_wavers() -> None:
    calls = [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]
    totals = [100, 200, 300, 400, 500, 600, 700, 500, 400, 900]
    assert fit_growth(calls, totals).shape == "wavering"


def test_one_long_last_stretch_is_judged_as_a_whole() -> None:
    calls = [1, 5, 10, 20, 30, 40, 100]
    assert fit_growth(calls, [1024.0 * n for n in calls]).shape == "linear"
    assert fit_growth(calls, [1024.0 * min(n, 50) for n in calls]).shape == "decaying"


def test_jumps_seen_over_too_short_a_stretch_are_unclear() -> None:
    calls = [100, 200, 300, 400, 500, 600, 700, 800]
    totals = [0, 0, 0, 0, 0, 900, 900, 900]
    assert fit_growth(calls, totals).shape == "unclear"


@quick
@given(CALLS, st.sampled_from([6, 8, 10, 16]))
def test_equal_jumps_that_come_ever_more_rarely_are_never_linear(
    calls: int, base: int
) -> None:
    def total(n: int) -> float:
        return 4096.0 * sum(1 for power in range(1, 8) if base**power <= n)

    assert shape_of(calls, total, floor=256) != "linear"


def test_one_late_jump_is_no_leak() -> None:
    assert shape_of(1_000, lambda n: 4096.0 if n > 600 else 0.0) == "decaying"


# --- what comes back


@pytest.mark.parametrize(
    ("calls", "share"), [(64, 18 / 64), (100, 0.13), (5_000, 0.35), (50_000, 0.404)]
)
def test_a_sawtooth_is_not_linear(calls: int, share: float) -> None:
    assert sawtooth(calls, share, 1000) != "linear"


def test_a_sawtooth_is_linear_less_than_once_in_a_thousand() -> None:
    # Where the looks meet the teeth at ever higher points, as a chance has it.
    rnd = random.Random(1)
    found = [
        sawtooth(
            rnd.randint(64, 60_000), rnd.uniform(0.001, 0.45), rnd.randint(100, 10**5)
        )
        for _ in range(4_000)
    ]
    assert found.count("linear") < 4


def sawtooth(calls: int, share: float, size: int) -> str:
    period = max(3, int(calls * share))
    return shape_of(calls, lambda n: n % period * size, floor=256)


def test_memory_that_merely_wobbles_is_linear_less_than_once_in_a_hundred() -> None:
    rnd = random.Random(1)
    shapes = [
        shape_of(calls, lambda _n: 1e6 + rnd.uniform(-1e5, 1e5), floor=256)
        for calls in [100, 1_000, 5_000, 50_000]
        for _ in range(250)
    ]
    assert shapes.count("linear") < 10


@quick
@given(CALLS, SLOPES)
def test_memory_that_shrinks_is_flat(calls: int, slope: float) -> None:
    found = fit(calls, lambda n: 1e12 - slope * n)
    assert found.shape == "flat"
    assert found.confidence == 0


# --- what stands still


@quick
@given(CALLS, st.floats(0, 1e12))
def test_memory_that_stands_still_is_flat(calls: int, total: float) -> None:
    found = fit(calls, lambda _n: total)
    assert (found.shape, found.grown, found.confidence) == ("flat", 0.0, 0.0)
    assert found.intercept == pytest.approx(total)


@quick
@given(SERIES)
def test_growth_up_to_the_floor_is_flat(series: tuple[list[int], list[int]]) -> None:
    calls, totals = series
    grown = fit_growth(calls, totals).grown
    assert fit_growth(calls, totals, floor=max(0.0, grown)).shape == "flat"


def test_a_warm_up_that_is_over_is_flat() -> None:
    assert shape_of(1_000, lambda n: min(n, 100) * 1e6) == "flat"


# --- what holds for any series


@pytest.mark.parametrize(
    ("calls", "totals"),
    [
        ([], []),
        ([1], [5.0]),
        ([1, 2, 100, 1000], [0.0, 1.0, 99.0, 999.0]),
        ([1, 2, 3, 4, 5, 6, 7, 8], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
    ],
)
def test_few_looks_or_few_calls_decide_nothing(
    calls: list[int], totals: list[float]
) -> None:
    found = fit_growth(calls, totals)
    assert found.shape == "unclear"
    assert found.confidence == 0


@quick
@given(SERIES, st.integers(-10, 10))
def test_the_law_does_not_depend_on_the_unit_of_memory(
    series: tuple[list[int], list[int]], power: int
) -> None:
    calls, totals = series
    unit = 2.0**power
    plain = fit_growth(calls, totals, floor=1000)
    scaled = fit_growth(calls, [t * unit for t in totals], floor=1000 * unit)
    assert scaled.shape == plain.shape
    assert scaled.slope == pytest.approx(plain.slope * unit)
    assert scaled.confidence == pytest.approx(plain.confidence)


@quick
@given(SERIES, st.integers(2, 1000))
def test_the_law_does_not_depend_on_the_size_of_a_call(
    series: tuple[list[int], list[int]], unit: int
) -> None:
    calls, totals = series
    plain = fit_growth(calls, totals)
    scaled = fit_growth([n * unit for n in calls], totals)
    assert scaled.shape == plain.shape
    assert scaled.slope == pytest.approx(plain.slope / unit)
    assert scaled.confidence == pytest.approx(plain.confidence)


@quick
@given(SERIES, st.integers(0, 1 << 40))
def test_what_was_there_before_does_not_change_the_shape(
    series: tuple[list[int], list[int]], before: int
) -> None:
    calls, totals = series
    plain, moved = fit_growth(calls, totals), [t + before for t in totals]
    assert fit_growth(calls, moved).shape == plain.shape


@quick
@given(SERIES)
def test_no_series_is_certain(series: tuple[list[int], list[int]]) -> None:
    found = fit_growth(*series)
    assert 0 <= found.confidence <= MOST_CONFIDENCE < 1


# --- the line


@quick
@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=20, unique=True),
    st.integers(-1000, 1000),
    st.integers(-1000, 1000),
)
def test_a_straight_line_is_found_again(
    xs: list[int], slope: int, intercept: int
) -> None:
    found = fit_line(xs, [slope * x + intercept for x in xs])
    assert found.slope == pytest.approx(slope, abs=1e-6)
    assert found.intercept == pytest.approx(intercept, abs=1e-3)


@pytest.mark.parametrize("ys", [[4.0, 6.0, 8.0], [8.0]])
def test_points_above_one_another_have_no_slope(ys: list[float]) -> None:
    found = fit_line([3.0] * len(ys), ys)
    assert (found.slope, found.confidence) == (0.0, 0.0)
    assert found.intercept == sum(ys) / len(ys)


def test_two_points_prove_nothing() -> None:
    found = fit_line([0, 1], [0, 5])
    assert (found.slope, found.confidence) == (5.0, 0.0)


def test_a_perfect_line_has_the_highest_confidence() -> None:
    assert fit_line([0, 1, 2, 3], [0, 5, 10, 15]).confidence == MOST_CONFIDENCE


def test_noise_takes_confidence_away() -> None:
    wobble = (1, -1, -1, 1) * 5
    sure = [
        fit_line(range(20), [x + noise * up for x, up in enumerate(wobble)]).confidence
        for noise in (1, 10, 20, 40, 80)
    ]
    assert sure == sorted(sure, reverse=True)
    assert sure[0] > 0.98
    assert 0 < sure[-1] < 0.6


@pytest.mark.parametrize(
    ("freedom", "t", "confidence"),
    [
        (4, 2.776, 0.95),
        (8, 2.306, 0.95),
        (8, 1.397, 0.80),
        (8, 0.706, 0.50),
        (30, 2.042, 0.95),
        (30, 1.310, 0.80),
    ],
)
def test_confidence_is_that_of_students_table_or_a_little_less(
    freedom: int, t: float, confidence: float
) -> None:
    n = freedom + 2
    xs = [i - (n - 1) / 2 for i in range(n)]
    spread = sum(x * x for x in xs)
    # A parabola around its mean leaves the slope alone and is all residual.
    residuals = [x * x - spread / n for x in xs]
    slope = t * math.sqrt(sum(r * r for r in residuals) / freedom / spread)
    found = fit_line(xs, [slope * x + r for x, r in zip(xs, residuals, strict=True)])
    assert found.slope == pytest.approx(slope)
    assert confidence - 0.015 < found.confidence < confidence + 0.002
