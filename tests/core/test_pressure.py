"""How near the limit is, under whichever limit leaves the least headroom."""

from __future__ import annotations

from dataclasses import replace

from leakguard._core.pressure import Pressure, lowest_limit, pressure_of, worse
from leakguard._core.records import Unknown
from leakguard._core.samples import Limit, Reading

GROUP, PARENT = Limit(1_000, "cgroup2 /app memory.max"), Limit(5_000, "cgroup2 /")
OWN = Limit(800, "own")
HOST = Limit(4_000, "host")
NONE = Reading(Unknown("unsupported: no control groups here"))


def test_it_is_the_unreclaimable_share_of_the_limit() -> None:
    reading = Reading(GROUP, usage_bytes=900, unreclaimable_bytes=250)
    assert pressure_of(reading) == Pressure(0.25, 250, 1_000, GROUP.source)


def test_where_the_kernel_throttles_is_a_limit_too() -> None:
    throttle = Limit(500, "cgroup2 /app memory.high")
    reading = Reading(GROUP, throttle, unreclaimable_bytes=400)
    assert pressure_of(reading) == Pressure(0.8, 400, 500, throttle.source)
    assert lowest_limit(reading) == (throttle, 400)


def test_beyond_the_limit_it_is_above_one() -> None:
    pressure = pressure_of(Reading(GROUP, unreclaimable_bytes=1_500))
    assert pressure.ratio == 1.5


def test_the_limit_with_the_least_headroom_counts() -> None:
    reading = Reading(
        GROUP,
        unreclaimable_bytes=250,
        binding=PARENT,
        binding_unreclaimable_bytes=4_900,
    )
    assert pressure_of(reading) == Pressure(0.98, 4_900, 5_000, PARENT.source)


def test_a_limit_of_ones_own_counts_beside_the_systems() -> None:
    reading = Reading(GROUP, unreclaimable_bytes=400)
    assert pressure_of(reading, rss_bytes=9, own=OWN) == Pressure(0.5, 400, 800, "own")
    higher = Limit(2_000, "own")
    assert pressure_of(reading, own=higher).source == GROUP.source


def test_what_others_on_the_machine_use_counts_against_no_limit_of_ones_own() -> None:
    reading = Reading(
        HOST,
        unreclaimable_bytes=700,
        binding=HOST,
        binding_unreclaimable_bytes=1_000,
    )
    assert pressure_of(reading, rss_bytes=200, own=OWN) == Pressure(
        0.25, 200, 800, "own"
    )
    assert pressure_of(reading, own=OWN).ratio == 0.875
    assert lowest_limit(reading, rss_bytes=200, own=OWN) == (OWN, 200)
    assert lowest_limit(reading, rss_bytes=200) == (HOST, 1_000)


def test_without_a_group_resident_memory_stands_in() -> None:
    assert pressure_of(NONE, rss_bytes=200, own=OWN).ratio == 0.25


def test_without_a_limit_it_says_why() -> None:
    pressure = pressure_of(NONE, rss_bytes=200)
    assert pressure == Pressure(None, 200, None, "unsupported: no control groups here")


def test_without_a_usage_it_says_so() -> None:
    pressure = pressure_of(Reading(GROUP))
    assert pressure.ratio is None
    assert "usage under cgroup2 /app" in pressure.source


def test_a_limit_of_zero_divides_nothing_by_zero() -> None:
    assert pressure_of(Reading(Limit(0, "x"), unreclaimable_bytes=7)).ratio == 7.0


def test_forecasts_run_into_the_lowest_limit() -> None:
    reading = Reading(GROUP, unreclaimable_bytes=7)
    assert lowest_limit(NONE) == (None, None)
    assert lowest_limit(reading) == (GROUP, 7)
    assert lowest_limit(reading, own=OWN) == (OWN, 7)
    assert lowest_limit(NONE, rss_bytes=5, own=OWN) == (OWN, 5)


def test_the_worse_of_two_pressures_counts() -> None:
    low, high = Pressure(0.2, 1, 5, "low"), Pressure(0.8, 4, 5, "high")
    unknown = Pressure(None, None, None, "unknown")
    assert worse(low, high) is worse(high, low) is high
    assert worse(unknown, low) is worse(low, unknown) is low
    assert worse(unknown, replace(unknown, source="other")) is unknown
