"""Robust estimates over short columns of numbers: slopes, floors, quantiles.

Chosen for memory histories, where a few spikes must not decide. All are pure and at
most quadratic in a few hundred points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    """Return the middle value; of an even number, the mean of the middle two."""
    ordered = sorted(values)
    n = len(ordered)
    return (ordered[n // 2] + ordered[(n - 1) // 2]) / 2


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


def floor_of(values: Sequence[float]) -> list[float]:
    """Return for each point the lowest value from there on.

    What is above it came back; a rising floor is what never did. Towards the end it
    has seen little of what will come back: see ``shape.read_shape``.
    """
    found = list(values)
    for index in range(len(found) - 2, -1, -1):
        found[index] = min(found[index], found[index + 1])
    return found


def slopes(xs: Sequence[float], ys: Sequence[float]) -> list[float]:
    """Return the slopes between all pairs of points, sorted."""
    found = [
        (ys[j] - ys[i]) / (xs[j] - xs[i])
        for i in range(len(xs))
        for j in range(i + 1, len(xs))
        if xs[j] > xs[i]
    ]
    found.sort()
    return found


def theil_sen(
    xs: Sequence[float], ys: Sequence[float]
) -> tuple[float, float, float] | None:
    """Return the median slope and an interval around it, or ``None`` without pairs.

    The interval holds the middle 80 % of the pairwise slopes: wider than the 95 %
    interval of the median slope (Sen 1968), which takes neighbouring points as
    independent, and memory readings are not.
    """
    found = slopes(xs, ys)
    if not found:
        return None
    return median(found), quantile(found, 0.1), quantile(found, 0.9)


def thin(values: Sequence[float], most: int) -> list[float]:
    """Return at most ``most`` values: the medians of stretches of equal length."""
    n = len(values)
    if n <= most:
        return list(values)
    edges = [index * n // most for index in range(most + 1)]
    return [
        median(values[low:high]) for low, high in zip(edges, edges[1:], strict=False)
    ]
