"""The shape of one column of memory over time: flat, rising, settled, swinging.

What counts is the floor: the level that memory never falls below again. What came
back is load; a floor that rises to the end is kept; one that rose and stopped is a
cache or a warm-up.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    floor = floor_of(values)
    n, warm = len(values), int(WARM_UP_SHARE * len(values))
    swing, unseen = _excursions(values, floor, warm)
    end = n - max(1, unseen)
    seen = end - warm >= max(6, (1 - MOST_UNSEEN_SHARE - WARM_UP_SHARE) * n)
    if not seen:
        end = n
    warmed = floor[warm] - floor[0]
    floor, seconds = floor[warm:end], seconds[warm:end]
    work = seconds if work is None else work[warm:end]
    risen = floor[-1] - floor[0]
    late = max(_late_ratio(seconds, floor), _late_ratio(work, floor))
    law: Law = "settled"
    if not seen:
        law = "unclear"
    elif risen < max(least, LEAST_OF_SWING * swing):
        law = "flat"
    elif late >= STEADY_SHARE:
        law = "rising"
    return Shape(law, risen, warmed, swing, floor[-1], late, seconds, work, floor)


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


def _excursions(
    values: Sequence[float], floor: Sequence[float], warm: int
) -> tuple[float, int]:
    """Return the height of what came back, and how long that takes at most.

    The last so many points have not been seen to come back or to stay.
    """
    above = [v - f for v, f in zip(values, floor, strict=True)][warm:]
    swing = quantile(above, 0.97)
    longest = length = 0
    for height in above:
        length = length + 1 if height > swing / 4 else 0
        longest = max(longest, length)
    grown = floor[-1] - floor[warm]
    return swing, longest if swing > 0.15 * grown else 0


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


def _late_ratio(xs: Sequence[float], floor: Sequence[float]) -> float:
    """Return the rate of the last third against that of the one before."""
    late_growth = floor[-1] - floor[int(0.67 * (len(floor) - 1))]
    if late_growth < LEAST_LATE_GROWTH * (floor[-1] - floor[0]):
        return 0.0
    middle, late = _rate(xs, floor, 0.33, 0.67), _rate(xs, floor, 0.67, 1.0)
    last = _rate(xs, floor, 0.85, 1.0)
    ratio = late / middle if middle > 0 else MOST_RATIO
    goes_on = last > LAST_SHARE * min(middle, late)
    return min(ratio, MOST_RATIO if goes_on else STEADY_SHARE / 2)


def _rate(
    xs: Sequence[float], ys: Sequence[float], start: float, stop: float
) -> float:
    low, high = int(start * (len(xs) - 1)), int(stop * (len(xs) - 1))
    span = xs[high] - xs[low]
    return (ys[high] - ys[low]) / span if span > 0 else 0.0
