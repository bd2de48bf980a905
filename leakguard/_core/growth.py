"""From cumulative totals at growing call counts to a growth law.

The question of this file: does a total that was read at growing call counts go on
in proportion to the work (a leak's law), slow down (a cache filling, a warm-up), or
stand still? It compares rates between geometrically growing stretches of calls,
since anything bounded must slow down as the stretch doubles.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

#: In proportion to the work; slowing down; still; up and down again; not to be told.
Shape = Literal["linear", "decaying", "flat", "wavering", "unclear"]

#: A late rate below this share of the early one is slowing down; above it, steady.
#: A power law n**0.5 has 0.65 between the stretches compared here, a leak 1.0.
STEADY_SHARE = 0.7
#: Growth over the last three quarters of the calls against that of the fifth before:
#: 4 in proportion to the work, 2 to 8 in doublings, 1 when it follows the logarithm.
STEPWISE_RATIO = 1.9
#: Fewer points or calls than this decide nothing.
MIN_POINTS = 5
MIN_CALLS = 12
#: No finding from samples is certain.
MOST_CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class Law:
    """How one total grows with the number of calls.

    ``slope`` is in units per call over the later half of the calls; ``intercept`` is
    what is there without work (in flight, warmed up); ``grown`` is the growth over
    that later half; ``confidence`` (0 to 1) speaks of the slope being above zero.
    """

    shape: Shape
    slope: float
    intercept: float
    grown: float
    confidence: float


def fit_growth(
    calls: Sequence[int], totals: Sequence[float], *, floor: float = 0.0
) -> Law:
    """Return the law of ``totals`` read after ``calls`` calls.

    Growth of at most ``floor`` over the later half counts as standing still. Cost:
    linear in the number of points.
    """
    calls, totals = _without_short_end(calls, totals)
    if len(calls) < MIN_POINTS or calls[-1] - calls[0] < MIN_CALLS:
        return Law("unclear", 0.0, totals[-1] if totals else 0.0, 0.0, 0.0)
    middle = _index_near(calls, 0.45)
    start = _index_near(calls, 0.18)
    grown = totals[-1] - totals[middle]
    line = fit_line(calls[middle:], totals[middle:])
    if grown <= floor:
        return Law("flat", line.slope, line.intercept, grown, 0.0)
    early = _rate(calls, totals, start, middle)
    late = _rate(calls, totals, middle, len(calls) - 1)
    shape = _shape(calls, totals, start, middle, (early, late))
    sure = fit_line(calls[start:], totals[start:]).confidence
    return Law(shape, line.slope, line.intercept, grown, sure)


def _shape(
    calls: Sequence[int],
    totals: Sequence[float],
    start: int,
    middle: int,
    rates: tuple[float, float],
) -> Shape:
    early, late = rates
    if _largest_fall(totals[start:]) > (totals[-1] - totals[middle]) / 4:
        return "wavering"
    steps = _step_rates(calls, totals, start)
    if _is_stepwise(steps, late):
        return _stepwise_shape(calls, totals)
    if late < STEADY_SHARE * early:
        return "decaying"
    if min(_smoothed(_step_rates(calls, totals, middle))) < late / 4:
        return "decaying" if steps[-1] <= 0 else "unclear"
    return "linear"


def _without_short_end(
    calls: Sequence[int], totals: Sequence[float]
) -> tuple[Sequence[int], Sequence[float]]:
    """Drop the look before the last when hardly any calls lie between the two."""
    if len(calls) > MIN_POINTS and calls[-1] - calls[-2] < calls[-1] / 20:
        return [*calls[:-2], calls[-1]], [*totals[:-2], totals[-1]]
    return calls, totals


def _largest_fall(totals: Sequence[float]) -> float:
    falls = [a - b for a, b in itertools.pairwise(totals)]
    return max(falls, default=0.0)


def _is_stepwise(steps: Sequence[float], late: float) -> bool:
    """Return whether growth comes in a few jumps, as of one block that is resized."""
    still = sum(1 for rate in steps if abs(rate) < late / 20)
    return still * 2 >= len(steps)


def _stepwise_shape(calls: Sequence[int], totals: Sequence[float]) -> Shape:
    """Judge jumps by what they add up to over three fourfold stretches of calls.

    A hash table doubles when it is two thirds full, so a growing one jumps at least
    once whenever the calls grow fourfold, and its size follows the calls.
    """
    if calls[0] * 12 > calls[-1]:
        return "unclear"
    first, last = totals[_index_near(calls, 1 / 16)], totals[-1]
    quarter = _index_near(calls, 1 / 4)
    # A jump may fall between the looks around the quarter: either may be in step.
    ratios = [
        (last - middle) / (middle - first)
        for middle in totals[quarter : quarter + 2]
        if middle > first
    ]
    return "linear" if max(ratios, default=0.0) > STEPWISE_RATIO else "decaying"


def _index_near(calls: Sequence[int], share: float) -> int:
    """Return the last index whose call count is at most ``share`` of the way."""
    goal = calls[-1] * share
    best = 0
    for index, count in enumerate(calls):
        if count <= goal * 1.000001:
            best = index
    return best if share == 1.0 else min(best, len(calls) - 2)


def _rate(calls: Sequence[int], totals: Sequence[float], low: int, high: int) -> float:
    span = calls[high] - calls[low]
    return (totals[high] - totals[low]) / span if span > 0 else 0.0


def _step_rates(
    calls: Sequence[int], totals: Sequence[float], start: int
) -> list[float]:
    return [_rate(calls, totals, i - 1, i) for i in range(start + 1, len(calls))]


def _smoothed(rates: Sequence[float]) -> list[float]:
    """Average neighbours, so that one lumpy stretch does not speak alone."""
    if len(rates) < 2:
        return list(rates)
    return [(a + b) / 2 for a, b in itertools.pairwise(rates)]


@dataclass(frozen=True, slots=True)
class Line:
    """A least squares line, and the confidence (0 to 1) that its slope is above 0."""

    slope: float
    intercept: float
    confidence: float


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Return the least squares line through the points.

    The confidence is two-sided, from the slope's t statistic with ``n - 2`` degrees
    of freedom by Student's distribution in first order (Hill's approximation,
    Algorithm 395, CACM 1970: ``z = t (1 - 1/(4 df)) / sqrt(1 + t**2 / (2 df))``). It
    is 0 for a slope that is not above zero and never over 0.99.
    """
    n = len(xs)
    mean_x, mean_y = sum(xs) / n, sum(ys) / n
    spread = sum((x - mean_x) ** 2 for x in xs)
    if spread == 0:
        return Line(0.0, mean_y, 0.0)
    points = list(zip(xs, ys, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    intercept = mean_y - slope * mean_x
    freedom = n - 2
    if slope <= 0 or freedom < 1:
        return Line(slope, intercept, 0.0)
    residual = sum((y - intercept - slope * x) ** 2 for x, y in points)
    if residual == 0:
        return Line(slope, intercept, MOST_CONFIDENCE)
    t = slope / math.sqrt(residual / freedom / spread)
    z = t * (1 - 1 / (4 * freedom)) / math.sqrt(1 + t * t / (2 * freedom))
    return Line(slope, intercept, min(MOST_CONFIDENCE, math.erf(z / math.sqrt(2))))
