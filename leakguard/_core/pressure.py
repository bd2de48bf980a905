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

    ``own`` is a limit that the user set. What the control group uses counts against
    it, if the group has a limit too, else ``rss_bytes``, which also stands in where no
    control group tells what is unreclaimable.
    """
    limits = _limits(reading, rss_bytes, own)
    if reading.binding is not None:
        limits.append((reading.binding, reading.binding_unreclaimable_bytes))
    known = [
        (limit.limit_bytes - taken, limit, taken)
        for limit, taken in limits
        if taken is not None
    ]
    if not known:
        return Pressure(None, _used(reading, rss_bytes), None, _why(reading))
    _, limit, taken = min(known, key=lambda one: one[0])
    ratio = taken / max(1, limit.limit_bytes)
    return Pressure(ratio, taken, limit.limit_bytes, limit.source)


def worse(one: Pressure, other: Pressure) -> Pressure:
    """Return the one with the higher ratio; the first where that is not known."""
    return other if (other.ratio or 0.0) > (one.ratio or 0.0) else one


def lowest_limit(
    reading: Reading, *, rss_bytes: int | None = None, own: Limit | None = None
) -> tuple[Limit | None, int | None]:
    """Return the lowest limit on this process itself and what is used of it.

    It is what a forecast of this process's own growth runs into.
    """
    limits = _limits(reading, rss_bytes, own)
    return min(limits, key=lambda one: one[0].limit_bytes, default=(None, None))


def _limits(
    reading: Reading, rss_bytes: int | None, own: Limit | None
) -> list[tuple[Limit, int | None]]:
    """Return the limits on this process and what counts against each.

    Where the kernel throttles is one too: what happens there is as bad for a service.
    """
    used, limits = _used(reading, rss_bytes), []
    if own is not None:
        # A group without limit may hold anything; the one at the top holds all.
        alone = rss_bytes is not None and not reading.is_in_container
        limits.append((own, rss_bytes if alone else used))
    if isinstance(reading.limit, Limit):
        binds = reading.limit == reading.binding
        used = reading.binding_unreclaimable_bytes if binds else used
        limits.append((reading.limit, used))
    if reading.throttle is not None:
        limits.append((reading.throttle, _used(reading, rss_bytes)))
    return limits


def _used(reading: Reading, rss_bytes: int | None) -> int | None:
    used = reading.unreclaimable_bytes
    return rss_bytes if used is None else used


def _why(reading: Reading) -> str:
    if isinstance(reading.limit, Limit):
        return f"the usage under {reading.limit.source} cannot be read"
    return reading.limit.reason
