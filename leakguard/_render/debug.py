"""What the debug routes answer: JSON documents, and the headers of every answer.

Rules of this file: nothing of the request is in an answer; names and numbers only; each
size stands in bytes (``rss_bytes``) and, beside it, for people (``rss``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from leakguard._core.units import format_bytes
from leakguard._render.document import encode
from leakguard._render.refusal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from leakguard._core.counters import Counters
    from leakguard._core.diff import TypeRow
    from leakguard._core.forecast import Forecast
    from leakguard._core.policy_table import Level
    from leakguard._core.pressure import Pressure
    from leakguard._core.records import Report, Verdict
    from leakguard._core.samples import Sample

    Document = Mapping[str, object]

SCHEMA: Final = "leakguard.memory/1"
SHOWN_SUSPECTS, SHOWN_TYPES = 5, 50
CONTENT_TYPES: Final[Mapping[str, str]] = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
}
_BYTES: Final = "_bytes"


def respond(status: int, document: Document, *more: tuple[str, str]) -> Answer:
    """Return an answer in JSON. ``more`` are further headers."""
    text = json.dumps(with_sizes(document), indent=2, allow_nan=False)
    return respond_text(status, "json", text, *more)


def respond_text(
    status: int,
    format: str,  # noqa: A002
    text: str,
    *more: tuple[str, str],
) -> Answer:
    """Return an answer in one of the formats; a newline is put at its end."""
    body = f"{text}\n".encode("utf-8", "replace")
    headers = (
        ("content-type", CONTENT_TYPES[format]),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        *more,
    )
    return Answer(status, headers, body)


def refuse(status: int, why: str, *more: tuple[str, str]) -> Answer:
    """Return an answer that says in a sentence why it is none."""
    return respond(status, {"error": why}, *more)


def with_sizes(value: object) -> object:
    """Return a document with each size for people beside its number of bytes.

    ``growth_bytes_per_call`` gets ``growth_per_call``. What is not finite is ``None``.
    """
    if isinstance(value, Mapping):
        shown: dict[str, object] = {}
        for key, item in value.items():
            shown[key] = with_sizes(item)
            if _BYTES in key and (item is None or isinstance(item, int | float)):
                shown[key.replace(_BYTES, "")] = format_bytes(item)
        return shown
    if isinstance(value, list | tuple):
        return [with_sizes(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def memory_document(  # noqa: PLR0913 - a document, part by part
    report: Report,
    *,
    heap_bytes: int | None,
    forecast: Forecast,
    pressure: Pressure,
    level: Level,
    counters: Counters,
    now_seconds: float,
    workers: Iterable[Document],
    workers_unseen: str | None,
) -> Document:
    """Return what is known of this process's memory, and the rows of all workers.

    ``now_seconds`` is of the clock that the counters were made with.
    """
    document: dict[str, Any] = encode(report)
    return {
        "schema": SCHEMA,
        "created_at": report.created_at,
        "pid": report.program.pid,
        "rss_bytes": report.memory.rss_bytes,
        "heap_in_use_bytes": heap_bytes,
        **document["memory"],
        "pressure": {"level": level, **asdict(pressure)},
        "verdict": document["verdict"],
        "forecast": asdict(forecast),
        "suspects": document["suspects"][:SHOWN_SUSPECTS],
        "counters": _counters(counters, now_seconds),
        "workers": list(workers),
        "workers_unseen": workers_unseen,
    }


def worker_row(  # noqa: PLR0913 - a row, part by part
    pid: int,
    *,
    sample: Sample | None,
    pressure: Pressure,
    level: Level,
    verdict: Verdict,
    forecast: Forecast | None,
) -> Document:
    """Return what the other workers are told of one; below 2 KB."""
    return {
        "pid": pid,
        "rss_bytes": sample.rss_bytes if sample else None,
        "heap_in_use_bytes": sample.in_use_bytes if sample else None,
        "requests_total": sample.requests_total if sample else None,
        "in_flight": sample.in_flight if sample else None,
        "level": level,
        "ratio": pressure.ratio,
        "limit_bytes": pressure.limit_bytes,
        "verdict": verdict.kind,
        "reason": verdict.reason,
        "growth_bytes_per_second": verdict.growth_bytes_per_second,
        "time_to_limit_seconds": forecast.time_to_limit_seconds if forecast else None,
    }


def change_rows(rows: Sequence[TypeRow]) -> list[Document]:
    """Return the types that grew most, and those that shrank most."""
    half = SHOWN_TYPES // 2
    shown = rows if len(rows) <= SHOWN_TYPES else (*rows[:half], *rows[-half:])
    return [row._asdict() for row in shown]


def _counters(counters: Counters, now_seconds: float) -> Document:
    document = asdict(counters)
    for row in (*document["last_transitions"], *document["last_reliefs"]):
        row["seconds_ago"] = round(now_seconds - row.pop("at_seconds"), 1)
    return document
