"""When the limit will be hit, with an interval; nothing where nothing is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakguard._core.units import format_seconds

if TYPE_CHECKING:
    from leakguard._core.pace import Rate


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


def forecast(
    rate: Rate | None, *, used_bytes: float | None, limit_bytes: int | None
) -> Forecast:
    """Return the time until ``used_bytes`` at this rate reach the limit.

    ``rate`` is ``None`` where nothing grows without end. Usage above the limit has
    zero seconds left.
    """

    def nothing(reason: str) -> Forecast:
        return Forecast(None, None, limit_bytes, reason)

    if rate is None or used_bytes is None:
        return nothing("nothing grows without end")
    if limit_bytes is None:
        return nothing("no limit is known")
    if rate.per_second <= 0:
        return nothing("how fast it grows is not known")
    headroom = max(0.0, limit_bytes - used_bytes)
    expected = headroom / rate.per_second
    earliest = headroom / rate.high
    latest = headroom / rate.low if rate.low > 0 else None
    return Forecast(
        expected,
        (earliest, latest),
        limit_bytes,
        f"at this rate in {format_seconds(expected)}",
    )
