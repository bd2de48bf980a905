"""From windows and trend to the verdict, its suspects and who is acquitted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from leakguard._core.evidence import Bound, DeepLook
from leakguard._core.findings import (
    Findings,
    Look,
    Weighed,
    explain,
    is_suspicious,
    trend_verdict,
    weigh,
)
from leakguard._core.forecast import Forecast
from leakguard._core.overhead import Span
from leakguard._core.places import Growing
from leakguard._core.samples import Sample
from leakguard._core.trend import Trend
from tests.core.builders import APP, NAMES, deep_look, holding

if TYPE_CHECKING:
    from leakguard._core.records import VerdictKind

LEAK = (APP, 41)
LENGTHS = (0.2, 0.8, 0.4, 1.6) * 2
NO_FORECAST = Forecast(None, None, None, "not known")
RISING = tuple(
    Sample(float(t), python_blocks=100_000 + 500 * t, in_use_bytes=10**8 + 10**5 * t)
    for t in range(60)
)


def trend(
    kind: VerdictKind = "leak",
    rate: float | None = 102_400.0,
    *,
    low: float | None = None,
    left: float | None = None,
) -> Trend:
    interval = None if low is None else (low, low * 2 + 1)
    forecast = replace(NO_FORECAST, time_to_limit_seconds=left)
    return Trend(kind, 0.8, "So it moves.", rate, interval, None, forecast, 100)


def findings(
    *, per_second: int = 100, counted: bool = True, deep: DeepLook | None = None
) -> Findings:
    """Return windows onto 1 KiB per unit of work that stays."""
    looks = tuple(
        Look(at * 10.0, seconds, units if counted else None, sites)
        for at, seconds in enumerate(LENGTHS)
        for units in (int(seconds * per_second),)
        for sites in ({LEAK: (1024 * units + 300 + 7 * at, units)},)
    )
    work = 100 * per_second if counted else None
    deep_span = Span(0.2, 0.1, per_second // 5 if counted else None)
    return Findings(looks, deep, deep_span, Span(100.0, 10.0, work))


def deep_into(bound: Bound | None) -> DeepLook:
    held = holding(length=312, new_entries=20, bound=bound)
    return deep_look(
        {(LEAK,): (20_480, 20)}, types={(LEAK,): {"dict": 20}}, owners={(LEAK,): held}
    )


def weighed(found: Findings) -> Weighed:
    return weigh(found, NAMES, seconds=100.0)


def test_growth_is_told_per_unit_of_work_where_it_is_counted() -> None:
    found = explain(weighed(findings()), trend(), RISING)
    assert found.verdict.kind == "leak"
    assert found.verdict.growth_bytes_per_second == 102_400.0
    assert found.verdict.growth_bytes_per_call == pytest.approx(1024.0)
    (first,) = found.suspects
    assert first.growth_bytes_per_call == pytest.approx(1024, rel=0.01)
    assert first.growth_bytes_per_second == pytest.approx(102_400, rel=0.01)


def test_growth_that_goes_with_a_route_names_it() -> None:
    found = findings()
    looks = tuple(
        replace(look, routes={"/orders": (look.work or 0) // 2, "/": at})
        for at, look in enumerate(found.looks)
    )
    (first,) = weighed(replace(found, looks=looks)).suspects
    assert first.route == "/orders"
    assert first.growth_bytes_per_route_call == pytest.approx(2048, rel=0.01)
    (first,) = weighed(found).suspects
    assert first.route is first.growth_bytes_per_route_call is None


def test_and_per_second_where_it_is_not() -> None:
    found = explain(weighed(findings(counted=False)), trend(), RISING)
    assert found.verdict.growth_bytes_per_call is None
    (first,) = found.suspects
    assert first.growth_bytes_per_call is None
    assert first.growth_bytes_per_second == pytest.approx(102_400, rel=0.01)


def test_too_little_work_is_not_counted_on() -> None:
    assert not findings(per_second=2).counted
    assert findings(per_second=0).seconds_per_unit is None
    assert replace(findings(), span=Span(1.0, 0.1)).seconds_per_unit is None


def test_the_look_at_depth_speaks_in_the_units_of_the_rows() -> None:
    deep = deep_into(None)
    assert findings(deep=deep).deep_look().work_done == 20
    assert findings(deep=deep, counted=False).deep_look().work_done == 0.2
    assert findings().deep_look().survivors == {}
    uncounted = replace(findings(deep=deep), deep_span=Span(0.2, 0.1))
    assert uncounted.deep_look().work_done == 0


@pytest.mark.parametrize("kind", ["leak", "unknown"])
@pytest.mark.parametrize("counted", [True, False])
def test_growth_whose_holder_is_bounded_is_a_cache(
    kind: VerdictKind, *, counted: bool
) -> None:
    deep = deep_into(Bound("lru_cache maxsize", 1_000))
    found = explain(weighed(findings(deep=deep, counted=counted)), trend(kind), RISING)
    assert found.verdict.kind == "cache"
    assert "312 of 1000" in found.verdict.reason
    assert found.suspects == ()
    assert len(found.acquitted) == 1


def test_a_bounded_holder_does_not_acquit_what_it_does_not_explain() -> None:
    deep = deep_into(Bound("lru_cache maxsize", 1_000))
    much = trend(rate=1e6)
    assert explain(weighed(findings(deep=deep)), much, RISING).verdict.kind == "leak"


def test_what_left_nothing_behind_at_depth_has_stopped() -> None:
    assert weighed(findings(deep=deep_look())).suspects == ()


def test_windows_decide_what_the_trend_cannot_tell_yet() -> None:
    for one in (None, trend("unknown", None)):
        found = explain(weighed(findings()), one, RISING)
        assert found.verdict.kind == "leak"
        assert found.verdict.growth_bytes_per_call == pytest.approx(1024, rel=0.01)
        assert len(found.suspects) == 1
    found = explain(weighed(findings(counted=False)), None, RISING)
    assert found.verdict.growth_bytes_per_call is None


def test_windows_alone_accuse_nobody_while_the_totals_stand_still() -> None:
    still = tuple(one._replace(python_blocks=9, in_use_bytes=9) for one in RISING)
    for history in (still, (), (Sample(0.0),)):
        found = explain(weighed(findings()), None, history)
        assert found.verdict.kind == "unknown"
        assert found.suspects == ()


@pytest.mark.parametrize("kind", ["steady", "load", "cache", "fragmentation"])
def test_an_innocent_trend_accuses_nobody(kind: VerdictKind) -> None:
    found = explain(weighed(findings()), trend(kind, None), RISING)
    assert found.verdict.kind == kind
    assert found.suspects == ()


def test_a_native_leak_has_the_native_suspect() -> None:
    found = explain(Weighed(), trend("native-leak"), RISING)
    assert [one.source for one in found.suspects] == ["native"]


@pytest.mark.parametrize(
    ("kept", "looks", "kind"),
    [(100, 8, "native-leak"), (100, 7, "leak"), (60_000, 8, "leak")],
)
def test_growth_that_the_windows_do_not_trace_is_native(
    kept: int, looks: int, kind: VerdictKind
) -> None:
    sites = {LEAK: (kept, 1)}
    seen = tuple(Look(at * 10.0, 1.0, None, sites) for at in range(looks))
    found = explain(weighed(Findings(seen, span=Span(100.0, 10.0))), trend(), RISING)
    assert found.verdict.kind == kind
    assert ("native code keeps it" in found.verdict.reason) == (kind == "native-leak")
    assert [suspect.source for suspect in found.suspects] == (
        ["native"] if kind == "native-leak" else []
    )


def test_nothing_judged_is_unknown() -> None:
    assert trend_verdict(None, None).kind == "unknown"
    assert trend_verdict(trend(left=5.0), None).time_to_limit_seconds == 5.0


@pytest.mark.parametrize(
    ("one", "suspicious"),
    [
        (trend("leak"), True),
        (trend("native-leak"), True),
        (trend("unknown", 5.0, low=1.0), True),
        (trend("unknown", 5.0, low=-1.0), False),
        (trend("unknown"), False),
        (trend("steady", low=1.0), False),
        (trend("cache", low=1.0), False),
        (trend("cache", left=60.0), True),
        (trend("cache", left=6_000.0), False),
    ],
)
def test_what_is_suspicious(one: Trend, *, suspicious: bool) -> None:
    assert is_suspicious(one) is suspicious


def test_the_share_of_the_growth_that_is_explained_is_told() -> None:
    found = explain(weighed(findings()), trend(rate=204_800.0), RISING)
    assert found.verdict.explained_share == pytest.approx(0.5, rel=0.05)


def test_without_a_trend_there_is_nothing_to_explain_a_share_of() -> None:
    for rate in (None, 0.0):
        found = explain(weighed(findings()), trend(rate=rate), RISING)
        assert found.verdict.explained_share is None


def _growing(path: str) -> Growing:
    held = replace(holding(path, new_entries=20), retained_bytes=1_000_000)
    return Growing(held, rises=4, entries_per_second=10.0)


def test_a_container_that_no_line_explains_is_a_suspect_below_the_lines() -> None:
    growing = [_growing("shop.log._lines")]
    seen = weigh(findings(), NAMES, seconds=100.0, growing=growing)
    found = explain(seen, trend(), RISING)
    assert [(one.rank, one.source) for one in found.suspects] == [
        (1, "site"),
        (2, "container"),
    ]
    assert explain(seen, trend("load"), RISING).suspects == ()


def test_a_container_that_is_a_suspects_holder_is_its_evidence() -> None:
    growing = [_growing("shop.cache._store")]
    found = findings(deep=deep_into(None))
    seen = weigh(found, NAMES, seconds=100.0, growing=growing)
    (one,) = explain(seen, trend(), RISING).suspects
    assert one.owner is not None
    assert one.owner.links[-1].why.endswith("; it gains 10 entries per second")
