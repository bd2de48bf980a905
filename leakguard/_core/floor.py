"""The floor of a column: the level that memory never falls below again.

What is above it came back: load. Towards the end of a history the floor has not been
seen to stay; that part is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from leakguard._core.robust import quantile, steps_in

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Excursions above this share of the floor's growth are looked at as load; where
#: memory is away from its floor for more than this share, only valleys count.
LEAST_SWING_SHARE = 0.15
MOST_AWAY_SHARE = 0.3
#: And where the swings are this deep against the growth of the part that was seen.
DEEP_SHARE, SEEN_SHARE = 0.5, 0.85
#: Fewer valleys, or growth in fewer steps between them, show nothing.
LEAST_VALLEYS, LEAST_VALLEY_STEPS = 3, 2.0


@dataclass(frozen=True, slots=True)
class Ground:
    """The part of the floor that has been seen to stay, from point ``start`` on.

    ``lows`` are its valleys, where memory hardly rests at its floor.
    """

    start: int
    floor: Sequence[float]
    swing: float
    lows: Sequence[float] = ()


def ground_of(values: Sequence[float], warm: int, least: float) -> Ground:
    """Return the floor after the warm-up, as far as it is confirmed."""
    floor = floor_of(values)[warm:]
    above = [v - f for v, f in zip(values[warm:], floor, strict=True)]
    swing = quantile(above, 0.97)
    open_end = 1
    if swing > max(least, LEAST_SWING_SHARE * (floor[-1] - floor[0])):
        away = [height > swing / 4 for height in above]
        grown = floor[int(SEEN_SHARE * len(floor))] - floor[0]
        if sum(away) >= MOST_AWAY_SHARE * len(away) and swing > DEEP_SHARE * grown:
            return _valley_floor(values, warm, swing)
        open_end = max(1, _longest_run(away))
    return Ground(warm, floor[: max(2, len(floor) - open_end)], swing)


def _valley_floor(values: Sequence[float], warm: int, swing: float) -> Ground:
    """Return the floor through the valleys, where memory hardly rests at its floor.

    The last valley only confirms those before: a later one may be deeper. Growth that
    is all between two valleys shows nothing.
    """
    valleys = [at for at in _valleys(values, swing / 3) if at >= warm]
    lows = floor_of([values[at] for at in valleys])[:-1]
    if len(lows) < LEAST_VALLEYS or steps_in(lows) < LEAST_VALLEY_STEPS:
        flat = floor_of(values)[warm : warm + 2]
        if len(lows) >= LEAST_VALLEYS:
            flat = [lows[0]] * (valleys[-2] - valleys[0])
        return Ground(warm, flat, swing)
    floor: list[float] = []
    for (a, b), (low, high) in zip(pairwise(valleys), pairwise(lows), strict=False):
        floor += [low + (high - low) * (at - a) / (b - a) for at in range(a, b)]
    return Ground(valleys[0], floor, swing, lows)


def _longest_run(flags: Sequence[bool]) -> int:
    longest = length = 0
    for flag in flags:
        length = length + 1 if flag else 0
        longest = max(longest, length)
    return longest


def _valleys(values: Sequence[float], height: float) -> list[int]:
    """Return the lowest points between rises of at least ``height``."""
    found: list[int] = []
    low = high = 0
    falling = True
    for index, value in enumerate(values):
        if falling:
            low = index if value <= values[low] else low
            if value > values[low] + height:
                found.append(low)
                high, falling = index, False
        else:
            high = index if value >= values[high] else high
            if value < values[high] - height:
                low, falling = index, True
    return found


def floor_of(values: Sequence[float]) -> list[float]:
    """Return for each point the lowest value from there on.

    What is above it came back; a rising floor is what never did.
    """
    found = list(values)
    for index in range(len(found) - 2, -1, -1):
        found[index] = min(found[index], found[index + 1])
    return found
