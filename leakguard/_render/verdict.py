"""The verdict over a memory log, as text and as the document ``leakguard.verdict/1``.

Rules of this file: the verdict comes first, then how fast and until when, then what
it was read from. Names and lines of the log pass ``plain`` before they are shown.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from leakguard._core.records import Verdict
from leakguard._core.units import format_bytes, format_seconds
from leakguard._render import style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from leakguard._core.logs import History, Ignored
    from leakguard._core.trend import Forecast, Trend

SCHEMA = "leakguard.verdict/1"
_LABEL_WIDTH = 10
_MINIMUM_WIDTH = 40


def verdict_document(
    history: History, trend: Trend, ignored_lines: int = 0
) -> dict[str, object]:
    """Return the document of one container; numbers that are not finite are null."""
    growth = trend.growth_interval
    document: dict[str, object] = {
        "schema": SCHEMA,
        "kind": trend.kind,
        "confidence": _finite(trend.confidence),
        "reason": trend.reason,
        "growth_bytes_per_second": _finite(trend.growth_bytes_per_second),
        "growth_interval": growth and [_finite(bound) for bound in growth],
        "time_to_limit_seconds": _finite(trend.forecast.time_to_limit_seconds),
        "plateau_bytes": trend.plateau_bytes,
        "samples": trend.samples,
        "ignored_lines": ignored_lines,
        "assumed_period_seconds": history.assumed_seconds,
    }
    if history.name is not None:
        document["container"] = history.name
    return document


def render_verdicts(
    judged: Sequence[tuple[History, Trend]],
    ignored: Ignored,
    *,
    charts: Mapping[str | None, str] | None = None,
    color: bool = False,
    width: int = 88,
) -> str:
    """Return the verdicts as lines of text, without a newline at the end.

    ``charts`` holds pictures by the name of their container.
    """
    paint = style.painter(color=color)
    width = max(width, _MINIMUM_WIDTH)
    blocks = []
    for history, trend in judged:
        opening = _opening(paint, width, history, trend)
        chart = (charts or {}).get(history.name, "")
        source = _fields(paint, width, _source(history))
        blocks.append(
            "\n".join([*opening, *(["", chart, ""] if chart else []), *source])
        )
    blocks.append("\n".join(_fields(paint, width, [("ignored", _ignored(ignored))])))
    return "\n\n".join(block for block in blocks if block)


def _opening(
    paint: style.Paint, width: int, history: History, trend: Trend
) -> list[str]:
    verdict = Verdict(
        trend.kind,
        trend.confidence,
        trend.reason,
        growth_bytes_per_second=trend.growth_bytes_per_second,
    )
    role, words, figures = style.headline(verdict)
    lines = []
    if history.name is not None:
        lines.append(paint("strong", style.plain(history.name)))
    lines.append("  ".join(filter(None, (paint(role, words), figures))))
    lines += textwrap.wrap(style.plain(trend.reason), width)
    return lines + _fields(paint, width, _figures(trend))


def _figures(trend: Trend) -> list[tuple[str, str]]:
    growth = ""
    if trend.growth_interval is not None:
        low, high = (format_bytes(bound, plus=True) for bound in trend.growth_interval)
        growth = f"between {low} and {high} per second"
    plateau = "" if trend.plateau_bytes is None else format_bytes(trend.plateau_bytes)
    return [
        ("growth", growth),
        ("plateau", plateau),
        ("limit", _limit(trend.forecast)),
        ("evidence", style.plain("; ".join(trend.evidence))),
    ]


def _limit(forecast: Forecast) -> str:
    limit = forecast.limit_bytes
    parts = [] if limit is None else [format_bytes(limit)]
    if forecast.time_to_limit_seconds is None:
        return ": ".join([*parts, style.plain(forecast.reason)])
    text = f"hit in {format_seconds(forecast.time_to_limit_seconds)}"
    if forecast.interval is not None:
        early, late = forecast.interval
        last = "never" if late is None else format_seconds(late)
        text += f" ({format_seconds(early)} to {last})"
    return ", ".join([*parts, text])


def _source(history: History) -> list[tuple[str, str]]:
    samples = history.samples
    plural = "" if len(samples) == 1 else "s"
    span = format_seconds(samples[-1].t_seconds - samples[0].t_seconds)
    step, assumed = history.assumed_seconds, ""
    if step is not None:
        assumed = (
            f"the log tells no time: {format_seconds(step)} from one line or screen "
            "to the next is assumed, --period tells the real one"
        )
    return [("read", f"{len(samples)} sample{plural} over {span}"), ("time", assumed)]


def _ignored(ignored: Ignored) -> str:
    if not ignored.lines:
        return ""
    plural = "" if ignored.lines == 1 else "s"
    first = "; ".join(f"{line}: {style.plain(text)}" for line, text in ignored.examples)
    return f"{ignored.lines} line{plural} that cannot be read, such as line {first}"


def _fields(paint: style.Paint, width: int, fields: list[tuple[str, str]]) -> list[str]:
    """Return each text in a column beside its label; nothing for no text."""
    lines = []
    for label, text in fields:
        wrapped = textwrap.wrap(text, width - _LABEL_WIDTH, break_on_hyphens=False)
        for place, line in enumerate(wrapped):
            head = "" if place else label
            lines.append(paint("faint", f"{head:<{_LABEL_WIDTH}}") + line)
    return lines


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
