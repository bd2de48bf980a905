"""Verdicts over logs as text and as documents."""

from __future__ import annotations

import json
from dataclasses import replace

from leakguard._core.logs import History, Ignored
from leakguard._core.samples import Sample
from leakguard._core.trend import Forecast, Trend
from leakguard._render.verdict import render_verdicts, verdict_document
from tests.render.golden import assert_golden

MIB = 1 << 20
SAMPLES = tuple(Sample(10.0 * n, rss_bytes=MIB * (50 + n)) for n in range(300))
LEAK = Trend(
    kind="leak",
    confidence=0.97,
    reason="The floor rises without slowing down, by 299 MiB in 49 min 50 s.",
    growth_bytes_per_second=104_857.6,
    growth_interval=(100_000.0, 110_000.0),
    plateau_bytes=None,
    forecast=Forecast(1690.0, (1600.0, 1800.0), 512 * MIB, "growth goes on"),
    samples=300,
    evidence=("resident: rising", "no restart"),
)
CACHE = Trend(
    kind="cache",
    confidence=0.9,
    reason="Growth ended at a plateau.",
    growth_bytes_per_second=None,
    growth_interval=None,
    plateau_bytes=70 * MIB,
    forecast=Forecast(None, None, 512 * MIB, "memory does not grow"),
    samples=300,
)
UNKNOWN = replace(
    CACHE,
    kind="unknown",
    reason="Too few samples.",
    plateau_bytes=None,
    forecast=Forecast(None, None, None, "too little evidence for a forecast"),
    samples=1,
)
CLEAN = Ignored(0, ())


def history(name: str | None = None, assumed: float | None = None) -> History:
    return History(name, SAMPLES, assumed)


def test_a_leak() -> None:
    text = render_verdicts(
        [(history(assumed=0.5), LEAK)],
        Ignored(2, ((3, "Error\x1b[2J response"), (17, "12"))),
        charts={None: "~~ chart ~~"},
    )
    assert_golden("verdict-leak.txt", text)


def test_several_containers() -> None:
    short = History("db\x07", SAMPLES[:1], None)
    pairs = [(history("api"), LEAK), (history("cache"), CACHE), (short, UNKNOWN)]
    text = render_verdicts(pairs, Ignored(1, ((1, "x"),)), color=True, width=60)
    assert_golden("verdict-several.txt", text)


def test_a_limit_that_may_never_be_hit() -> None:
    forecast = Forecast(1690.0, (1600.0, None), None, "")
    text = render_verdicts([(history(), replace(LEAK, forecast=forecast))], CLEAN)
    assert "hit in 28 min 10 s (26 min 40 s to never)" in text
    bare = replace(LEAK, forecast=replace(forecast, interval=None))
    assert "hit in 28 min 10 s\n" in render_verdicts([(history(), bare)], CLEAN)


def test_a_trend_without_figures() -> None:
    nothing = replace(UNKNOWN, forecast=Forecast(None, None, None, ""))
    text = render_verdicts([(history(), nothing)], CLEAN)
    assert text.splitlines()[:2] == ["UNDECIDED", "Too few samples."]
    assert text.splitlines()[2].startswith("read ")


def test_the_document_of_a_leak() -> None:
    document = verdict_document(history("api", 0.5), LEAK, 2)
    assert json.loads(json.dumps(document, allow_nan=False)) == {
        "schema": "leakguard.verdict/1",
        "kind": "leak",
        "confidence": 0.97,
        "reason": LEAK.reason,
        "growth_bytes_per_second": 104_857.6,
        "growth_interval": [100_000.0, 110_000.0],
        "time_to_limit_seconds": 1690.0,
        "plateau_bytes": None,
        "samples": 300,
        "ignored_lines": 2,
        "assumed_period_seconds": 0.5,
        "container": "api",
    }


def test_the_document_of_an_unnamed_container_has_no_name() -> None:
    document = verdict_document(history(), CACHE)
    assert "container" not in document
    assert document["growth_interval"] is None
    assert document["plateau_bytes"] == 70 * MIB


def test_numbers_that_are_not_finite_are_null() -> None:
    odd = replace(
        LEAK, growth_bytes_per_second=float("nan"), growth_interval=(0.0, float("inf"))
    )
    document = verdict_document(history(), odd)
    assert document["growth_bytes_per_second"] is None
    assert document["growth_interval"] == [0.0, None]
