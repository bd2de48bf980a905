"""Robust estimates over short columns of numbers: slopes, steps, quantiles.

Chosen for memory histories, where a few spikes must not decide. All are pure and at
most quadratic in a few hundred points.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def median(values: Sequence[float]) -> float:
    """Return the middle value; of an even number, the mean of the middle two."""
    ordered = sorted(values)
    n = len(ordered)
    return (ordered[n // 2] + ordered[(n - 1) // 2]) / 2


def sum_of_known(values: Iterable[float | None]) -> float | None:
    """Return the sum of those that are known, ``None`` where none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def smooth(values: Sequence[float]) -> list[float]:
    """Return the running median of three: single spikes go, steps stay."""
    last = len(values) - 1
    return [
        median(values[max(0, i - 1) : min(last, i + 1) + 1]) for i in range(last + 1)
    ]


def slopes(xs: Sequence[float], ys: Sequence[float], apart: float = 0.0) -> list[float]:
    """Return the slopes between all pairs of points further ``apart``, sorted."""
    found = [
        (ys[j] - ys[i]) / (xs[j] - xs[i])
        for i in range(len(xs))
        for j in range(i + 1, len(xs))
        if xs[j] - xs[i] > apart
    ]
    found.sort()
    return found


def theil_sen(
    xs: Sequence[float], ys: Sequence[float], apart: float = 0.0
) -> tuple[float, float, float] | None:
    """Return the median slope and an interval around it, or ``None`` without pairs.

    Of pairs further ``apart`` alone, noise from point to point weighs less.

    The interval holds the middle 80 % of the pairwise slopes: wider than the 95 %
    interval of the median slope (Sen 1968), which takes neighbouring points as
    independent, and memory readings are not.
    """
    found = slopes(xs, ys, apart)
    if not found:
        return None
    return median(found), quantile(found, 0.1), quantile(found, 0.9)


def stretches(seconds: Sequence[float], most: int) -> list[tuple[int, int]]:
    """Return index ranges of stretches of equal time, without the empty ones."""
    if len(seconds) <= most:
        return [(index, index + 1) for index in range(len(seconds))]
    span = (seconds[-1] - seconds[0]) / most
    ends = [bisect_right(seconds, seconds[0] + span * n) for n in range(1, most)]
    by_time = list(pairwise(sorted({0, *ends, len(seconds)})))
    if max(high - low for low, high in by_time) > 4 * len(seconds) / most:
        return by_time
    return list(pairwise(index * len(seconds) // most for index in range(most + 1)))


def thin(values: Sequence[float], ranges: Sequence[tuple[int, int]]) -> list[float]:
    """Return the median of each range of indices."""
    return [median(values[low:high]) for low, high in ranges]


def steps_in(floor: Sequence[float]) -> float:
    """Return in how many steps of equal size the floor would have grown as unevenly."""
    rises = [b - a for a, b in pairwise(floor)]
    squares = sum(rise * rise for rise in rises)
    return sum(rises) ** 2 / squares if squares else 0.0


def index_at(xs: Sequence[float], share: float) -> int:
    """Return the last point at most so far along the axis."""
    return max(0, bisect_right(xs, xs[0] + share * (xs[-1] - xs[0])) - 1)


def rate_between(
    xs: Sequence[float], ys: Sequence[float], start: float, stop: float
) -> float:
    """Return the slope between two shares of the way along the axis."""
    low, high = index_at(xs, start), index_at(xs, stop)
    span = xs[high] - xs[low]
    return (ys[high] - ys[low]) / span if span > 0 else 0.0
