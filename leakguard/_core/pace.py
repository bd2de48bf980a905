"""How fast a floor grows: over its last steady stretch, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakguard._core.robust import median, rate_between, theil_sen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard._core.shape import Shape

#: A third that grows so many times faster than another bends the line.
BENT_RATIO = 1.8


@dataclass(frozen=True, slots=True)
class Rate:
    """Growth per second with its interval, over the last steady stretch."""

    since_seconds: float
    per_second: float
    low: float
    high: float


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


def _last_stretch(xs: Sequence[float], floor: Sequence[float]) -> int:
    """Return where the growth that goes on began: at a bend, if there is one."""
    first, middle, late = (
        rate_between(xs, floor, *part) for part in ((0, 0.33), (0.33, 0.67), (0.67, 1))
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
