"""The shape of one column of memory over time: flat, rising, settled, swinging.

What counts is the floor: the level that memory never falls below again. What came
back is load; a floor that rises to the end is kept; one that rose and stopped is a
cache or a warm-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from leakguard._core.floor import ground_of
from leakguard._core.robust import index_at, rate_between, smooth, steps_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard._core.floor import Ground

Law = Literal["flat", "rising", "settled", "unclear"]

#: Nearly every program warms up in the first part of its life.
WARM_UP_SHARE = 0.1
#: Swings as long as this share of the history leave too little to judge.
MOST_UNSEEN_SHARE = 0.45
#: The late part must go on at this share of the middle part's rate, per second or
#: per request. Filling evenly drawn keys with a time constant of two thirds of the
#: history has 0.6 here, a power law n**0.5 0.77, a straight line 1.
STEADY_SHARE = 0.6
#: And at this share of the rate in its last stretch.
LAST_SHARE = 0.4
#: The last third of a straight line has a third of the growth; less than this and
#: nearly all was before.
LEAST_LATE_GROWTH = 0.12
MOST_RATIO = 9.0
#: Growth in fewer steps than this may be the last entries of a cache.
LEAST_STEPS = 4.0
#: A step of this share of all growth is taken out before the rest is judged.
GREAT_STEP_SHARE = 0.25
#: A pause is where the floor rises less than this share of all its growth; the last
#: one may be so many times longer than the longest before.
PAUSE_SHARE = 0.02
LONGEST_PAUSE_RATIO = 1.25
#: Growth of the floor beneath this share of what came back is no growth of its own.
LEAST_OF_SWING = 0.08


@dataclass(frozen=True, slots=True)
class Shape:
    """How the floor of a column went.

    ``risen`` is its growth after the warm-up, ``warmed`` that before, both in the
    column's unit; ``swing`` is the largest excursion above the floor that came back;
    ``level`` the floor at the end; ``late_ratio`` the rate of the last third against
    that of the one before. ``seconds``, ``work`` and ``floor`` are what was judged:
    without the warm-up, one great step, and the end that has not been seen to stay.
    """

    law: Law
    risen: float
    warmed: float
    swing: float
    level: float
    late_ratio: float
    seconds: Sequence[float]
    work: Sequence[float]
    floor: Sequence[float]


def read_shape(
    seconds: Sequence[float],
    values: Sequence[float],
    work: Sequence[float] | None,
    *,
    least: float,
) -> Shape:
    """Return the shape of a column; growth below ``least`` counts as none.

    ``work`` is the requests done at each point: growth may follow them or the clock.
    """
    values = smooth(values)
    warm = int(WARM_UP_SHARE * len(values))
    ground = ground_of(values, warm, least)
    floor = ground.floor
    low, high = ground.start, ground.start + len(floor)
    seconds = seconds[low:high]
    work = seconds if work is None else work[low:high]
    risen = floor[-1] - floor[0]
    smoothly = _without_step(floor)
    late = max(_late_ratio(axis, smoothly, ground) for axis in (seconds, work))
    enough = max(least, LEAST_OF_SWING * ground.swing)
    law: Law = "settled"
    if len(floor) < (1 - MOST_UNSEEN_SHARE - WARM_UP_SHARE) * len(values):
        law = "unclear"
    elif risen < enough:
        law = "flat"
    elif smoothly[-1] - smoothly[0] >= enough and late >= STEADY_SHARE:
        law = "rising" if ground.lows or _insteps_in(smoothly) else "settled"
    warmed = floor[0] - min(values[: warm + 1])
    return Shape(
        law, risen, warmed, ground.swing, floor[-1], late, seconds, work, smoothly
    )


def _late_ratio(xs: Sequence[float], floor: Sequence[float], ground: Ground) -> float:
    """Return the rate of the last third against that of the one before."""
    end = _without_last_pause(floor)
    xs, floor = xs[:end], floor[:end]
    late_growth = floor[-1] - floor[index_at(xs, 0.67)]
    if late_growth < LEAST_LATE_GROWTH * (floor[-1] - floor[0]):
        return 0.0
    middle, late = (
        rate_between(xs, floor, 0.33, 0.67),
        rate_between(xs, floor, 0.67, 1.0),
    )
    last = rate_between(xs, floor, 0.85, 1.0)
    ratio = late / middle if middle > 0 else MOST_RATIO
    goes_on = bool(ground.lows) or last > LAST_SHARE * min(middle, late)
    return min(ratio, MOST_RATIO if goes_on else STEADY_SHARE / 2)


def _without_step(floor: Sequence[float]) -> Sequence[float]:
    """Return the floor without its one great step: a deploy, a model that is loaded."""
    rises = [floor[min(at + 2, len(floor) - 1)] - floor[at] for at in range(len(floor))]
    at = max(range(len(rises)), key=rises.__getitem__)
    if rises[at] < GREAT_STEP_SHARE * (floor[-1] - floor[0]):
        return floor
    return [
        value - max(0.0, min(value - floor[at], rises[at])) if index > at else value
        for index, value in enumerate(floor)
    ]


def _insteps_in(floor: Sequence[float]) -> bool:
    """Return whether the late growth is more than the last few entries of a cache."""
    n = len(floor)
    return max(steps_in(floor[n // 3 :]), steps_in(floor[n // 2 :])) >= LEAST_STEPS


def _without_last_pause(floor: Sequence[float]) -> int:
    """Return where the last pause begins, unless it is longer than those before.

    Growth that follows a load rests when the load does.
    """
    step = PAUSE_SHARE * (floor[-1] - floor[0])
    ends = [0]  # of the pauses: the points at which the floor has gone up a step
    for index, value in enumerate(floor):
        if value > floor[ends[-1]] + step:
            ends.append(index)
    pauses = [b - a for a, b in pairwise(ends)]
    last = len(floor) - ends[-1]
    earlier = max(pauses[1:], default=0)
    return ends[-1] + 1 if 2 < last <= LONGEST_PAUSE_RATIO * earlier else len(floor)
