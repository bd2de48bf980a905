"""A refused request's answer, and the readiness route's: status, headers, body.

Rules of this file: nothing of the request is in the answer; what depends on the
protocol (``Connection``, a ``HEAD`` without body) is the middleware's to add; a refusal
must cost less than the work, so answers are kept, a bounded number of them.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from leakguard._core.gate import Refusal

#: A longer ``Accept`` header is read this far.
_ACCEPT_CHARACTERS = 512
_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"
#: How well a range of an ``Accept`` header fits: the more it says, the more it counts.
_JSON_RANGES = {"*/*": 0, "application/*": 1, "application/json": 2}
_TEXT_RANGES = {"*/*": 0, "text/*": 1, "text/html": 2, "text/plain": 3}


class Answer(NamedTuple):
    """A whole response. The names of the headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def refuse(refusal: Refusal, accept: str | None = None) -> Answer:
    """Return the 503 for a refused request. Cost: about 1 µs, as answers repeat.

    ``Retry-After`` is the refusal's, in whole seconds (RFC 9110, 10.2.3). The body is
    JSON, or text where the ``Accept`` header asks for text rather than for JSON, as
    browsers do.
    """
    return _refused(
        refusal.level,
        max(1, math.ceil(refusal.retry_after_seconds)),
        refusal.durability,
        _prefers_text((accept or "")[:_ACCEPT_CHARACTERS]),
    )


def readiness(*, ready: bool) -> Answer:
    """Return the readiness route's answer: 200, or 503 to be sent no new requests."""
    text = '{"ready": true}' if ready else '{"ready": false}'
    return _answer(200 if ready else 503, _JSON, text)


@lru_cache(maxsize=256)
def _refused(level: str, seconds: int, durability: str, as_text: bool) -> Answer:  # noqa: FBT001
    wait = ("retry-after", str(seconds))
    if as_text:
        text = f"The service is short of memory. Try again in {seconds} s.\n"
        return _answer(503, _TEXT, text, wait)
    record = {
        "error": "memory_pressure",
        "level": level,
        "retry_after_seconds": seconds,
        "durability": durability,
    }
    return _answer(503, _JSON, json.dumps(record), wait)


@lru_cache(maxsize=64)
def _prefers_text(accept: str) -> bool:
    """Tell whether an ``Accept`` header rates text above JSON (RFC 9110, 12.5.1)."""
    ranges = [_range(part) for part in accept.lower().split(",")]
    return _quality(ranges, _TEXT_RANGES) > _quality(ranges, _JSON_RANGES)


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (text.strip() for text in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0


def _quality(ranges: list[tuple[str, float]], fits: dict[str, int]) -> float:
    rated = [(fits[name], quality) for name, quality in ranges if name in fits]
    return max(rated)[1] if rated else 0.0


def _answer(status: int, kind: str, text: str, *more: tuple[str, str]) -> Answer:
    body = text.encode()
    headers = (
        ("content-type", kind),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        *more,
    )
    return Answer(status, headers, body)
