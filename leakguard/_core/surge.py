"""How far memory use rises for moments, and so how much must stay free for that.

Rules of this file: pure. What goes up and comes down again is a surge; what goes up
and stays is growth. A request that needs much memory for a moment kills at the limit
as surely as a leak does, so what one has needed is expected of the next.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

#: A surge has to come down again within so many looks.
LOOKS = 16
#: What one process needs for a moment so many may need at once, or it twice.
AT_ONCE = 2
#: After so long the expectation is half of what it was.
HALF_LIFE_SECONDS = 300.0


class Look(NamedTuple):
    """What was used at a look, and the most that was since the one before."""

    used_bytes: int
    peak_bytes: int


class Surge(NamedTuple):
    """The last looks, and the surge that must be expected, as of the last of them."""

    looks: tuple[Look, ...] = ()
    expected_bytes: float = 0.0
    at_seconds: float | None = None

    def with_own(self, own: Surge) -> Surge:
        """Return what all may need for moments, where one process needs its ``own``."""
        expected_bytes = max(self.expected_bytes, AT_ONCE * own.expected_bytes)
        return self._replace(expected_bytes=expected_bytes)

    @property
    def used_bytes(self) -> int:
        """What is used at the last look, or will be when the surge comes again."""
        base_bytes = min(look.used_bytes for look in self.looks)
        return max(self.looks[-1].used_bytes, base_bytes + round(self.expected_bytes))


def looked(
    surge: Surge, at_seconds: float, used_bytes: int, peak_bytes: int = 0
) -> Surge:
    """Return what is to be expected after a look. Cost: about 7 µs.

    ``peak_bytes`` is the most that was used since the last look, where that is known.
    """
    look = Look(used_bytes, max(used_bytes, peak_bytes))
    looks = (*surge.looks[1 - LOOKS :], look)
    # What only falls in the looks had not risen in them: it has gone for good.
    lows = accumulate((one.used_bytes for one in looks), min)
    risen_bytes = max(
        one.peak_bytes - max(before_bytes, used_bytes)
        for one, before_bytes in zip(looks, lows, strict=True)
    )
    known = surge.at_seconds
    passed = 0.0 if known is None else max(0.0, at_seconds - known)
    faded_bytes = surge.expected_bytes * 0.5 ** (passed / HALF_LIFE_SECONDS)
    return Surge(looks, max(faded_bytes, float(risen_bytes)), at_seconds)
