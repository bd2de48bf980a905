"""How near the limit is: what cannot be given back, against the limit in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakguard._core.samples import Limit

if TYPE_CHECKING:
    from leakguard._core.samples import Reading


@dataclass(frozen=True, slots=True)
class Pressure:
    """The share of a limit that is used for good, and whose limit it is.

    ``ratio`` is above 1 beyond the limit, and ``None`` where no limit or no usage is
    known; ``source`` then says why.
    """

    ratio: float | None
    unreclaimable_bytes: int | None
    limit_bytes: int | None
    source: str


def pressure_of(
    reading: Reading, *, rss_bytes: int | None = None, own: Limit | None = None
) -> Pressure:
    """Return the pressure under the limit that leaves the least headroom.

    ``own`` is a limit that the user set for this process; ``rss_bytes`` stands in
    where no control group tells what is unreclaimable.
    """
    used = reading.unreclaimable_bytes
    if used is None:
        used = rss_bytes
    candidates = [(own, used)]
    if isinstance(reading.limit, Limit):
        candidates.append((reading.limit, used))
    candidates.append((reading.binding, reading.binding_unreclaimable_bytes))
    known = [
        (limit.limit_bytes - taken, limit, taken)
        for limit, taken in candidates
        if limit is not None and taken is not None
    ]
    if not known:
        return Pressure(None, used, None, _why(reading))
    _, limit, taken = min(known, key=lambda one: one[0])
    ratio = taken / max(1, limit.limit_bytes)
    return Pressure(ratio, taken, limit.limit_bytes, limit.source)


def lowest_limit(reading: Reading, own: Limit | None = None) -> Limit | None:
    """Return the lowest limit on this process itself, or ``None`` where there is none.

    It is what a forecast of this process's own growth runs into.
    """
    limits = [own] if own is not None else []
    if isinstance(reading.limit, Limit):
        limits.append(reading.limit)
    return min(limits, key=lambda limit: limit.limit_bytes, default=None)


def _why(reading: Reading) -> str:
    if isinstance(reading.limit, Limit):
        return f"the usage under {reading.limit.source} cannot be read"
    return reading.limit.reason
