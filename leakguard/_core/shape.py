"""The shape of one column of memory over time: flat, rising, settled, swinging.

What counts is the floor: the level that memory never falls below again. What came
back is load; a floor that rises to the end is kept; one that rose and stopped is a
cache or a warm-up.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from leakguard._core.robust import floor_of, median, quantile, smooth, theil_sen

if TYPE_CHECKING:
    from collections.abc import Sequence

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
#: Excursions above this share of the floor's growth are looked at as load; where
#: memory is away from its floor for more than this share, only valleys count.
LEAST_SWING_SHARE = 0.15
MOST_AWAY_SHARE = 0.3
#: Growth in fewer steps than this may be the last entries of a cache.
LEAST_STEPS = 4.0
LEAST_VALLEYS, LEAST_VALLEY_STEPS = 3, 2.0
#: A step of this share of all growth is taken out before the rest is judged.
GREAT_STEP_SHARE = 0.25
#: A pause is where the floor rises less than this share of all its growth; the last
#: one may be so many times longer than the longest before.
PAUSE_SHARE = 0.02
LONGEST_PAUSE_RATIO = 1.25
#: A third that grows so many times faster than another bends the line.
BENT_RATIO = 1.8
#: Growth of the floor beneath this share of what came back is no growth of its own.
LEAST_OF_SWING = 0.08


@dataclass(frozen=True, slots=True)
class Shape:
    """How the floor of a column went.

    ``risen`` is its growth after the warm-up, ``warmed`` that before, both in the
    column's unit; ``swing`` is the largest excursion above the floor that came back;
    ``level`` the floor at the end; ``late_ratio`` the rate of the last third against
    that of the one before. ``seconds``, ``work`` and ``floor`` are what was judged:
    without the warm-up, and without the end that has not been seen to stay.
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


@dataclass(frozen=True, slots=True)
class Rate:
    """Growth per second with its interval, over the last steady stretch."""

    since_seconds: float
    per_second: float
    low: float
    high: float


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
    ground = _ground_of(values, warm, least)
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
        law = "rising" if ground.lows or _in_steps(smoothly) else "settled"
    warmed = floor[0] - min(values[: warm + 1])
    return Shape(
        law, risen, warmed, ground.swing, floor[-1], late, seconds, work, floor
    )


def rate_of(shape: Shape) -> Rate:
    """Return how fast the floor grows in its last steady stretch.

    Along the work, at its mean pace, where growth follows the work better than the
    clock. Cost: a few ms.
    """
    seconds, floor = shape.seconds, shape.floor
    by_work = _misfit(shape.work, floor) < _misfit(seconds, floor)
    xs = shape.work if by_work else seconds
    since = _last_stretch(xs, floor)
    span = seconds[-1] - seconds[since]
    found = theil_sen(xs[since:], floor[since:])
    if found is None or span <= 0:
        return Rate(seconds[since], 0.0, 0.0, 0.0)
    pace = (xs[-1] - xs[since]) / span
    mean = _mean_rate(seconds[since:], floor[since:])
    low, high = (slope * pace for slope in found[1:])
    return Rate(seconds[since], mean, min(low, mean), max(high, mean))


def _mean_rate(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the growth from the first tenth to the last, by its distance."""
    part = max(1, len(xs) // 10)
    run = median(xs[-part:]) - median(xs[:part])
    return (median(ys[-part:]) - median(ys[:part])) / run if run > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Ground:
    """The part of the floor that has been seen to stay, from point ``start`` on.

    ``lows`` are its valleys, where memory hardly rests at its floor.
    """

    start: int
    floor: Sequence[float]
    swing: float
    lows: Sequence[float] = ()


def _ground_of(values: Sequence[float], warm: int, least: float) -> _Ground:
    """Return the floor after the warm-up, as far as it is confirmed."""
    floor = floor_of(values)[warm:]
    above = [v - f for v, f in zip(values[warm:], floor, strict=True)]
    swing = quantile(above, 0.97)
    open_end = 1
    if swing > max(least, LEAST_SWING_SHARE * (floor[-1] - floor[0])):
        away = [height > swing / 4 for height in above]
        if sum(away) >= MOST_AWAY_SHARE * len(away):
            return _valley_floor(values, warm, swing)
        open_end = max(1, _longest_run(away))
    return _Ground(warm, floor[: max(2, len(floor) - open_end)], swing)


def _valley_floor(values: Sequence[float], warm: int, swing: float) -> _Ground:
    """Return the floor through the valleys, where memory hardly rests at its floor.

    The last valley only confirms those before: a later one may be deeper. Growth that
    is all between two valleys shows nothing.
    """
    valleys = [at for at in _valleys(values, swing / 3) if at >= warm]
    lows = floor_of([values[at] for at in valleys])[:-1]
    if len(lows) < LEAST_VALLEYS or _steps(lows) < LEAST_VALLEY_STEPS:
        flat = floor_of(values)[warm : warm + 2]
        if len(lows) >= LEAST_VALLEYS:
            flat = [lows[0]] * (valleys[-2] - valleys[0])
        return _Ground(warm, flat, swing)
    floor: list[float] = []
    for (a, b), (low, high) in zip(pairwise(valleys), pairwise(lows), strict=False):
        floor += [low + (high - low) * (at - a) / (b - a) for at in range(a, b)]
    return _Ground(valleys[0], floor, swing, lows)


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


def _last_stretch(xs: Sequence[float], floor: Sequence[float]) -> int:
    """Return where the growth that goes on began: at a bend, if there is one."""
    first, middle, late = (
        _rate(xs, floor, *part) for part in ((0, 0.33), (0.33, 0.67), (0.67, 1))
    )
    n = len(xs)
    if late > BENT_RATIO * middle or min(middle, late) > BENT_RATIO * first:
        bends = range(n // 8, n - n // 5)  # it began late
        return min(bends, key=lambda at: _bent_misfit(xs, floor, at))
    if first > BENT_RATIO * max(middle, late):  # something else filled up first
        return n // 3
    return 0


def _bent_misfit(xs: Sequence[float], ys: Sequence[float], at: int) -> float:
    return _misfit(xs[: at + 1], ys[: at + 1]) + _misfit(xs[at:], ys[at:])


def _misfit(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the squared residuals of the least squares line."""
    n = len(xs)
    mean_x, mean_y = sum(xs) / n, sum(ys) / n
    sxx = sum((x - mean_x) ** 2 for x in xs)
    sxy = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    syy = sum((y - mean_y) ** 2 for y in ys)
    return syy - (sxy * sxy / sxx if sxx else 0.0)


def _late_ratio(xs: Sequence[float], floor: Sequence[float], ground: _Ground) -> float:
    """Return the rate of the last third against that of the one before."""
    end = _without_last_pause(floor)
    xs, floor = xs[:end], floor[:end]
    late_growth = floor[-1] - floor[_index_at(xs, 0.67)]
    if late_growth < LEAST_LATE_GROWTH * (floor[-1] - floor[0]):
        return 0.0
    middle, late = _rate(xs, floor, 0.33, 0.67), _rate(xs, floor, 0.67, 1.0)
    last = _rate(xs, floor, 0.85, 1.0)
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


def _in_steps(floor: Sequence[float]) -> bool:
    """Return whether the late growth is more than the last few entries of a cache."""
    n = len(floor)
    return max(_steps(floor[n // 3 :]), _steps(floor[n // 2 :])) >= LEAST_STEPS


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


def _steps(floor: Sequence[float]) -> float:
    """Return in how many steps of equal size the floor would have grown as unevenly."""
    rises = [b - a for a, b in pairwise(floor)]
    squares = sum(rise * rise for rise in rises)
    return sum(rises) ** 2 / squares if squares else 0.0


def _index_at(xs: Sequence[float], share: float) -> int:
    """Return the last point at most so far along the axis."""
    return max(0, bisect_right(xs, xs[0] + share * (xs[-1] - xs[0])) - 1)


def _rate(xs: Sequence[float], ys: Sequence[float], start: float, stop: float) -> float:
    low, high = _index_at(xs, start), _index_at(xs, stop)
    span = xs[high] - xs[low]
    return (ys[high] - ys[low]) / span if span > 0 else 0.0
