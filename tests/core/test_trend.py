"""The verdict over a memory history, rule by rule, and what holds for any history."""

from __future__ import annotations

import math
import re
from itertools import accumulate, cycle, islice
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.records import VerdictKind
from leakguard._core.samples import Sample
from leakguard._core.trend import LEAST_SAMPLES, Trend, judge_history, judge_lately
from tests.core.builders import quick
from tests.core.memories import (
    COUNT,
    MIB,
    PERIOD_SECONDS,
    counts,
    history,
    level,
    rising,
    saw,
    swinging,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = COUNT * PERIOD_SECONDS
LINE = history(level(rising(60)))


def rate(mib: float, seconds: float = SECONDS) -> object:
    """Return what a rate of so many MiB in this time must be close to."""
    return pytest.approx(mib * MIB / seconds, rel=0.15)


# Leaks


def test_a_straight_line_is_a_leak_with_its_rate() -> None:
    trend = judge_history(LINE)
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second == rate(60)
    assert trend.growth_interval is not None
    low, high = trend.growth_interval
    assert low <= (trend.growth_bytes_per_second or 0) <= high
    assert trend.plateau_bytes is None
    assert re.fullmatch(
        r"Over 39 min \d+ s the floor that memory never falls below again rises without"
        r" slowing down, by 5\d\S* MiB, 25\.\d KiB per second\.",
        trend.reason,
    )


def test_a_leak_after_a_plateau_has_the_rate_it_has_now() -> None:
    trend = judge_history(history(level(rising(40, begin=0.5))))
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second == rate(40, SECONDS / 2)


def test_a_leak_under_a_sawtooth_is_seen_in_its_floor() -> None:
    trend = judge_history(history(level(saw(30, period=12), rising(40))))
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second == rate(40)


def test_a_leak_under_load_is_seen_in_its_valleys() -> None:
    load = swinging(40, period=20, high=8)
    trend = judge_history(history(level(load, rising(40))))
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second == rate(40)


def test_a_leak_beside_one_great_step_is_a_leak() -> None:
    step = [40.0 * (at > 120) for at in range(COUNT)]
    assert judge_history(history(level(step, rising(40)))).kind == "leak"


def test_a_leak_that_rests_with_the_load_is_a_leak() -> None:
    grown = list(accumulate(0.5 * (at % 60 < 30) for at in range(COUNT)))
    trend = judge_history(history(level(grown)))
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second == rate(60)


def test_growth_into_free_heap_is_a_leak_that_resident_memory_does_not_show() -> None:
    trend = judge_history(history(level(), in_use_bytes=level(rising(40), base=30)))
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second == rate(40)
    assert "what is in use rises" in trend.reason


def test_blocks_that_rise_behind_a_load_are_a_leak_of_unknown_rate() -> None:
    trend = judge_history(
        history(
            level(swinging(60, period=20, high=10)),
            python_blocks=counts(lambda at: 50_000 + 300 * at),
            cgroup_limit_bytes=[512 * MIB] * COUNT,
        )
    )
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second is None
    assert trend.growth_interval is None
    assert trend.forecast.reason == "how fast it grows is not known"
    assert re.search(
        r" Python's blocks become more without slowing down, by 6\d{4}, behind resident"
        r" memory that swings; how fast is not known\.$",
        trend.reason,
    )


@pytest.mark.parametrize("noise", [3, 60])
def test_the_heap_behind_swings_tells_the_rate_unless_it_is_noise(noise: int) -> None:
    swings = swinging(60, period=20, high=10)
    heap = [
        10 * MIB + at * MIB / 25 + noise * MIB * (at * 7919 % 101) / 101
        for at in range(COUNT)
    ]
    trend = judge_history(
        history(
            level(swings),
            python_blocks=counts(lambda at: 50_000 + 300 * at),
            in_use_bytes=[round(value) for value in heap],
        )
    )
    assert (trend.kind, "blocks" in trend.reason) == ("leak", True)
    if noise == 60:
        assert trend.growth_bytes_per_second is None
    else:
        assert trend.growth_bytes_per_second == rate(COUNT / 25)


def test_tmpfs_that_grows_beside_a_flat_process_is_a_leak() -> None:
    usage = level(rising(40), base=120)
    trend = judge_history(history(level(), cgroup_usage_bytes=usage))
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second == rate(40)
    assert "tmpfs" in trend.reason


def test_small_objects_leak_while_the_c_heap_is_flat() -> None:
    trend = judge_history(
        history(
            level(rising(40)),
            in_use_bytes=level(base=30),
            python_blocks=counts(lambda at: 50_000 + 600 * at),
        )
    )
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second == rate(40)


# Growth that ends


def test_an_lru_cache_that_fills_to_its_bound_is_a_cache_with_its_plateau() -> None:
    trend = judge_history(history(level(rising(40, stop=0.6))))
    assert trend.kind == "cache"
    assert trend.plateau_bytes == pytest.approx(140 * MIB, rel=0.01)
    assert trend.growth_bytes_per_second == 0
    assert trend.growth_interval is None
    assert trend.forecast.reason == "nothing grows without end"
    assert "and then stopped" in trend.reason


def test_exponential_saturation_is_a_cache() -> None:
    filled = [40 * (1 - math.exp(-6 * at / COUNT)) for at in range(COUNT)]
    assert judge_history(history(level(filled))).kind == "cache"


def test_one_great_step_is_not_a_leak() -> None:
    step = [40.0 * (at > 120) for at in range(COUNT)]
    assert judge_history(history(level(step))).kind == "cache"


def test_active_file_pages_that_fill_up_are_a_cache_beside_the_process() -> None:
    usage = level(rising(40, stop=0.5), base=120)
    trend = judge_history(history(level(), cgroup_usage_bytes=usage))
    assert trend.kind == "cache"
    assert "beside it" in trend.reason


def test_warming_up_is_steady() -> None:
    assert judge_history(history(level(rising(30, stop=0.08)))).kind == "steady"


# What comes back, and what stands still


@pytest.mark.parametrize("high", [5, 8, 14])
def test_load_that_returns_to_its_floor_is_load(high: int) -> None:
    trend = judge_history(history(level(swinging(40, period=20, high=high))))
    assert trend.kind == "load"
    assert trend.reason.endswith(
        " s memory swings by 40 MiB and comes back to its floor."
    )


def test_a_sawtooth_over_a_flat_floor_is_load() -> None:
    assert judge_history(history(level(saw(30, period=12)))).kind == "load"


def test_memory_that_follows_requests_in_flight_is_load_even_while_it_rises() -> None:
    in_flight = counts(lambda at: at + at * 7919 % 23)
    resident = level([0.2 * n for n in in_flight])
    trend = judge_history(history(resident, in_flight=in_flight))
    assert trend.kind == "load"
    assert "follows the requests in flight" in trend.reason


def test_memory_that_stands_still_is_steady() -> None:
    trend = judge_history(history(level()))
    assert trend.kind == "steady"
    assert trend.reason.endswith(" s memory stands still.")
    assert trend.growth_bytes_per_second == 0


def test_growth_below_a_mib_is_steady() -> None:
    assert judge_history(history(level(rising(1)))).kind == "steady"


def test_a_sidecar_that_swings_is_not_the_process() -> None:
    noise = [30 * (at * 7919 % 97) / 97 for at in range(COUNT)]
    usage = level(noise, base=120)
    assert judge_history(history(level(), cgroup_usage_bytes=usage)).kind == "steady"


def test_a_noisy_sidecar_that_grows_is_not_believed() -> None:
    outside = level(rising(40), swinging(25, period=20, high=4), base=120)
    assert judge_history(history(level(), cgroup_usage_bytes=outside)).kind != "leak"


def test_inactive_file_pages_are_no_growth() -> None:
    trend = judge_history(
        history(
            level(),
            cgroup_usage_bytes=level(rising(40), base=120),
            cgroup_inactive_file_bytes=level(rising(40), base=0),
        )
    )
    assert trend.kind == "steady"


# Fragmentation


def test_resident_growth_without_live_memory_is_fragmentation() -> None:
    trend = judge_history(
        history(
            level(rising(40)),
            in_use_bytes=level(base=30),
            python_blocks=[50_000] * COUNT,
        )
    )
    assert trend.kind == "fragmentation"
    assert trend.growth_bytes_per_second == rate(40)
    assert "the allocator keeps freed memory" in trend.reason


def test_a_heap_that_holds_the_growth_and_stopped_acquits_what_is_resident() -> None:
    heap = level(rising(38, stop=0.7), base=30)
    assert judge_history(history(level(rising(40)), in_use_bytes=heap)).kind == "cache"


# What cannot be told


@pytest.mark.parametrize("count", [0, 1, LEAST_SAMPLES - 1])
def test_too_few_samples_are_unknown_and_say_how_many_decide(count: int) -> None:
    trend = judge_history(LINE[:count], limit_bytes=512 * MIB)
    assert trend.kind == "unknown"
    assert trend.growth_bytes_per_second is None
    assert trend.forecast.limit_bytes == 512 * MIB
    assert trend.samples == count
    assert trend.reason == (
        f"The memory of one life is known at {count} moments; 30 or more decide."
    )


def test_samples_without_memory_are_unknown() -> None:
    trend = judge_history(history(requests_total=range(COUNT)))
    assert "known at 0 moments" in trend.reason
    assert trend.samples == COUNT


def test_two_bursts_of_samples_around_a_suspend_are_unknown() -> None:
    later = [sample._replace(t_seconds=sample.t_seconds + 1e6) for sample in LINE]
    assert judge_history([*LINE, *later]).kind == "unknown"


def test_a_swing_as_long_as_the_history_is_unknown() -> None:
    swing = [3 * math.sin(math.pi * at / COUNT) for at in range(COUNT)]
    trend = judge_history(history(level(swing)))
    assert trend.kind == "unknown"
    assert "a longer one would decide it" in trend.reason


# Lives


def two_lives(first: int, second: int) -> list[Sample]:
    """Return a life that leaks to 400 MiB, and one that stands at 100 MiB."""
    return history(
        [*islice(level(rising(300)), first), *islice(level(), second)],
        requests_total=[*range(first), *range(second)],
        cgroup_limit_bytes=[500 * MIB] * (first + second),
    )


def test_the_last_life_is_judged() -> None:
    trend = judge_history(two_lives(200, 100))
    assert trend.kind == "steady"
    assert trend.reason.endswith(" s since its last start memory stands still.")


def test_a_young_life_is_judged_by_the_longest_before() -> None:
    trend = judge_history(two_lives(200, 40))
    assert trend.kind == "leak"
    assert " s before its last start the floor" in trend.reason


def test_the_forecast_of_a_young_life_starts_from_what_it_holds_itself() -> None:
    seconds = judge_history(two_lives(200, 40)).forecast.time_to_limit_seconds
    assert seconds == pytest.approx(400 / 300 * SECONDS, rel=0.05)


def test_restarts_by_a_leak_are_no_sawtooth() -> None:
    resident = level([300.0 * (at % 120) / 120 for at in range(COUNT)])
    requests = [at % 120 for at in range(COUNT)]
    assert judge_history(history(resident, requests_total=requests)).kind == "leak"


def test_kills_at_the_limit_are_restarts() -> None:
    resident = level([300.0 * (at % 120) / 120 for at in range(COUNT)])
    limits = [400 * MIB] * COUNT
    assert judge_history(history(resident, cgroup_limit_bytes=limits)).kind == "leak"


# Forecast and evidence


def test_the_limit_of_the_samples_is_forecast() -> None:
    trend = judge_history(
        history(level(rising(60)), cgroup_limit_bytes=[256 * MIB] * COUNT)
    )
    assert trend.forecast.limit_bytes == 256 * MIB
    assert trend.forecast.time_to_limit_seconds == pytest.approx(
        (256 - 160) / 60 * SECONDS, rel=0.05
    )


def test_a_given_limit_overrules_that_of_the_samples() -> None:
    samples = history(level(rising(60)), cgroup_limit_bytes=[256 * MIB] * COUNT)
    trend = judge_history(samples, limit_bytes=100 * MIB)
    assert trend.forecast.limit_bytes == 100 * MIB
    assert trend.forecast.time_to_limit_seconds == 0


def test_without_a_limit_nothing_is_forecast() -> None:
    forecast = judge_history(LINE).forecast
    assert forecast.time_to_limit_seconds is None
    assert forecast.reason == "no limit is known"


def test_each_column_that_was_recorded_is_evidence() -> None:
    trend = judge_history(
        history(
            level(),
            in_use_bytes=level(base=30),
            python_blocks=[50_000] * COUNT,
            cgroup_usage_bytes=level(base=150),
        )
    )
    names = [line.partition(":")[0] for line in trend.evidence]
    assert names == ["resident", "C heap", "Python's blocks", "outside the process"]
    assert trend.evidence[2] == (
        "Python's blocks: flat, floor +0 after the warm-up, swings of 0"
    )


def test_more_samples_and_a_heap_that_agrees_make_it_surer() -> None:
    heap = history(level(rising(60)), in_use_bytes=level(rising(60), base=30))
    confidences = [
        judge_history(samples).confidence for samples in (LINE[:40], LINE, heap)
    ]
    assert confidences == sorted(set(confidences))


# A leak that began lately

HOUR = 360  # samples


def day(*last_hour_mib: float) -> list[Sample]:
    """Return hours of a steady process with a swing, then these levels of an hour."""
    before = [100 + 20 * (at % HOUR > 300) for at in range(15 * HOUR)]
    last = islice(cycle(last_hour_mib), HOUR)
    sums = [*before, *last]
    return history([int(mib * MIB) + 4096 * (at % 7) for at, mib in enumerate(sums)])


LATE_LEAK = day(*[100 + 60 * at / HOUR for at in range(HOUR)])


def test_a_leak_of_the_last_hour_is_found_in_a_long_history() -> None:
    assert judge_history(LATE_LEAK).kind != "leak"
    trend = judge_lately(LATE_LEAK)
    assert trend.kind == "leak"
    assert trend.growth_bytes_per_second == rate(60, 3600)


def test_a_rise_to_where_memory_was_before_is_not_a_leak_of_the_last_hour() -> None:
    samples = day(*[100 + 15 * at / HOUR for at in range(HOUR)])
    assert judge_lately(samples) == judge_history(samples)


def test_a_level_never_seen_before_that_stands_still_is_not_a_leak_either() -> None:
    samples = day(*[150.0] * HOUR)
    assert judge_lately(samples) == judge_history(samples)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param([], id="no samples"),
        pytest.param(history(level()), id="a history shorter than two hours"),
        pytest.param(LINE, id="a leak of the whole history"),
    ],
)
def test_otherwise_the_whole_history_is_judged(samples: list[Sample]) -> None:
    assert judge_lately(samples) == judge_history(samples)


# What holds for any history

MEMORY = (
    *("rss_bytes", "in_use_bytes", "cgroup_usage_bytes"),
    *("cgroup_inactive_file_bytes", "cgroup_limit_bytes", "unreclaimable_bytes"),
)
COUNTED = ("python_blocks", "requests_total", "in_flight")


@st.composite
def columns(draw: st.DrawFn, count: int, most: int) -> list[int | None]:
    """Draw a column: a line with a repeating pattern, one jump, and blanks."""
    base, jump = draw(st.integers(0, most)), draw(st.integers(-most, most))
    slope = draw(st.just(0) | st.integers(-(most // 100), most // 100))
    pattern = draw(st.lists(st.integers(-most, most) | st.just(0), min_size=1))
    blanks = draw(st.just([False]) | st.lists(st.booleans(), min_size=1))
    at = draw(st.integers(0, count))
    return [
        None if blank else base + slope * i + beat + jump * (i >= at)
        for i, beat, blank in zip(range(count), cycle(pattern), cycle(blanks))
    ]


@st.composite
def histories(draw: st.DrawFn) -> list[Sample]:
    count = draw(st.integers(0, 400) | st.integers(LEAST_SAMPLES, 2 * LEAST_SAMPLES))
    gaps = draw(st.just([1.0]) | st.lists(st.floats(1e-3, 1e5), min_size=1))
    seconds = accumulate(islice(cycle(gaps), count))
    most = st.sampled_from([1, 10**5, 10**8, 2**53])
    drawn = {
        name: draw(columns(count, draw(most)))
        for name in (*MEMORY, *COUNTED)
        if draw(st.booleans())
    }
    blank = [None] * count  # also where nothing else was drawn
    rows = zip(blank, *drawn.values(), strict=True)
    names = ("rss_bytes", *drawn)
    return [
        Sample(t, **dict(zip(names, row, strict=True)))
        for t, row in zip(seconds, rows, strict=True)
    ]


def assert_is_sound(trend: Trend) -> None:
    assert trend.kind in get_args(VerdictKind)
    assert 0 <= trend.confidence <= 1
    rate, interval = trend.growth_bytes_per_second, trend.growth_interval
    if interval is not None:
        assert rate is not None
        assert 0 <= interval[0] <= rate <= interval[1] < math.inf
    forecast = trend.forecast
    if forecast.time_to_limit_seconds is not None:
        assert forecast.interval is not None
        earliest, latest = forecast.interval
        assert 0 <= earliest <= forecast.time_to_limit_seconds < math.inf
        assert latest is None or latest >= forecast.time_to_limit_seconds
    for text in (trend.reason, forecast.reason, *trend.evidence):
        # No unfilled place, no number that is none, no growth by less than nothing.
        assert not re.search(r"[{}]|\b(nan|inf|None|unknown)\b|by (-|0 B)", text), text


@quick
@given(histories())
def test_any_history_has_a_sound_verdict(samples: list[Sample]) -> None:
    assert_is_sound(judge_history(samples))
    assert_is_sound(judge_lately(samples, limit_bytes=10**9))


@quick
@given(histories(), st.sampled_from([2.0**-8, 0.5, 4.0, 2.0**12]))
def test_slower_time_is_the_same_verdict_at_a_slower_rate(
    samples: list[Sample], scale: float
) -> None:
    slower = [one._replace(t_seconds=scale * one.t_seconds) for one in samples]
    plain, scaled = judge_history(samples), judge_history(slower)
    assert scaled.kind == plain.kind
    assert scaled.plateau_bytes == plain.plateau_bytes
    if plain.growth_bytes_per_second is None:
        assert scaled.growth_bytes_per_second is None
    else:
        assert scaled.growth_bytes_per_second == pytest.approx(
            plain.growth_bytes_per_second / scale
        )


CLEAR = {
    "leak": [
        rising(60),
        rising(60, begin=0.5),
        [a + b for a, b in zip(saw(20, period=12), rising(60), strict=True)],
    ],
    "cache": [
        rising(60, stop=0.5),
        [60 * (1 - math.exp(-5 * at / COUNT)) for at in range(COUNT)],
    ],
    "load": [swinging(60, period=20, high=8), saw(60, period=12)],
    "steady": [[0.0] * COUNT],
}


@pytest.mark.parametrize(
    ("kind", "part"), [(kind, part) for kind, parts in CLEAR.items() for part in parts]
)
@pytest.mark.parametrize("base", [30, 100, 400])
@pytest.mark.parametrize("begin", [0.0, 1.8e9])
def test_the_level_and_the_time_of_day_do_not_change_a_clear_verdict(
    kind: str, part: Sequence[float], base: float, begin: float
) -> None:
    resident, heap = level(part, base=base), level(part, base=base / 2)
    for samples in (history(resident), history(resident, in_use_bytes=heap)):
        now = [one._replace(t_seconds=begin + one.t_seconds) for one in samples]
        assert judge_history(now).kind == kind
