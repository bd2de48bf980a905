"""The verdict over a memory history: what kind of growth, how fast, until when.

``judge_history`` is pure: the same samples give the same verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard._core.records import VerdictKind
    from leakguard._core.samples import Sample


@dataclass(frozen=True, slots=True)
class Forecast:
    """When the limit will be hit if growth goes on as it does.

    ``time_to_limit_seconds`` is ``None`` when it is not known or will not happen, and
    ``reason`` says which; ``interval`` holds the earliest and latest time (``None``
    for never).
    """

    time_to_limit_seconds: float | None
    interval: tuple[float, float | None] | None
    limit_bytes: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Trend:
    """The verdict over a history, with the evidence it rests on."""

    kind: VerdictKind
    confidence: float
    reason: str
    growth_bytes_per_second: float | None
    growth_interval: tuple[float, float] | None
    plateau_bytes: int | None
    forecast: Forecast
    samples: int
    evidence: tuple[str, ...] = ()


def judge_history(
    samples: Sequence[Sample], *, limit_bytes: int | None = None
) -> Trend:
    """Return the verdict over the samples, oldest first.

    ``limit_bytes`` overrules the limit in the samples.
    """
    nothing = Forecast(None, None, limit_bytes, "too little evidence for a forecast")
    return Trend(
        "unknown", 0.5, "Too few samples.", None, None, None, nothing, len(samples)
    )
