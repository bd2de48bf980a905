"""From samples to the columns a verdict looks at: one life, thinned, without gaps.

A history may hold several lives of the program (restarts, deploys). Each is judged
for itself. Columns that were not recorded are ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from leakguard._core.robust import stretches, thin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from leakguard._core.samples import Sample

#: Points that a column is thinned to.
MOST_POINTS = 96
#: A column with fewer values than this share of the samples counts as not recorded.
LEAST_RECORDED_SHARE = 0.7
#: A new life begins below this share of the level before, at a kill close to the
#: limit or after a sample without memory.
FALL_SHARE = 0.8
LIMIT_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Columns:
    """One life in columns of equal length, in bytes, seconds and counts.

    ``resident`` is what the process itself holds, or the group's working set where
    that is all that is known. ``heap`` is the C library's memory in use, ``outside``
    what the group holds beyond the process's resident memory. ``used_bytes`` is what
    counts against the limit at the end.
    """

    seconds: list[float]
    resident: list[float]
    heap: list[float] | None
    blocks: list[float] | None
    outside: list[float] | None
    in_flight: list[float] | None
    requests: list[float] | None
    used_bytes: int | None
    limit_bytes: int | None
    samples: int


def lives_of(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    """Return the samples split at restarts, oldest life first."""
    cuts = [0, *_restarts(samples), len(samples)]
    return [samples[low:high] for low, high in pairwise(cuts) if high > low]


def columns_of(samples: Sequence[Sample]) -> Columns | None:
    """Return one life as columns; ``None`` when nothing of memory is known."""
    samples = [s for s in samples if _resident(s) is not None]
    if not samples:
        return None
    seconds = [s.t_seconds for s in samples]
    ranges = stretches(seconds, MOST_POINTS)

    def column(read: Callable[[Sample], float | None]) -> list[float] | None:
        values = _filled([read(sample) for sample in samples])
        return thin(values, ranges) if values else None

    blocks = column(lambda s: s.python_blocks)
    limits = [s.cgroup_limit_bytes for s in samples if s.cgroup_limit_bytes]
    return Columns(
        seconds=thin(seconds, ranges),
        resident=column(_resident) or [],
        heap=column(lambda s: s.in_use_bytes),
        # An interpreter on plain malloc counts no blocks.
        blocks=blocks if blocks and max(blocks) > 0 else None,
        outside=column(_outside),
        in_flight=column(lambda s: s.in_flight),
        requests=column(lambda s: s.requests_total),
        used_bytes=_used(samples[-1]),
        limit_bytes=limits[-1] if limits else None,
        samples=len(samples),
    )


def _restarts(samples: Sequence[Sample]) -> list[int]:
    """Return the indices at which a new life begins.

    Told by a counter that fell back; where none is known, by a fall of the memory
    after a sample without any (nothing ran), or from near the limit.
    """
    found = []
    requests: int | None = None
    last: Sample | None = None
    gone = False
    for index, sample in enumerate(samples):
        level, known = _resident(sample), sample.requests_total
        if level is None:
            gone = True
            continue
        fell = known is not None and requests is not None and known < requests
        if known is None and last is not None:
            fell = _fell(last, sample) and (gone or _was_at_limit(last))
        if fell:
            found.append(index)
        requests = requests if known is None else known
        last, gone = sample, False
    return found


def _fell(before: Sample, after: Sample) -> bool:
    high, low = _resident(before), _resident(after)
    return high is not None and low is not None and low < FALL_SHARE * high


def _was_at_limit(sample: Sample) -> bool:
    limit, level = sample.cgroup_limit_bytes, _resident(sample)
    return bool(limit and level and level > LIMIT_SHARE * limit)


def _resident(sample: Sample) -> float | None:
    return sample.rss_bytes if sample.rss_bytes is not None else _working_set(sample)


def _working_set(sample: Sample) -> float | None:
    if sample.cgroup_usage_bytes is None:
        return None
    return max(0, sample.cgroup_usage_bytes - (sample.cgroup_inactive_file_bytes or 0))


def _used(sample: Sample) -> int | None:
    known = sample.unreclaimable_bytes, _working_set(sample), sample.rss_bytes
    return next((int(value) for value in known if value is not None), None)


def _outside(sample: Sample) -> float | None:
    group = _working_set(sample)
    if group is None or sample.rss_bytes is None:
        return None
    return group - sample.rss_bytes


def _filled(known: Sequence[float | None]) -> list[float]:
    """Return the values, gaps filled with the last one; nothing if most are missing."""
    values = [value for value in known if value is not None]
    if len(values) < max(1.0, LEAST_RECORDED_SHARE * len(known)):
        return []
    filled, last = [], values[0]
    for value in known:
        last = last if value is None else value
        filled.append(float(last))
    return filled


def without_load(values: list[float], in_flight: list[float] | None) -> list[float]:
    """Return the column without what follows the requests in flight.

    The share of each request is the least squares slope of the column's short steps
    on those of the load, so a common trend of both does not count. Where the load
    explains less than a quarter of the steps, the column is returned as it is.
    """
    if in_flight is None or max(in_flight) - min(in_flight) < 2:
        return values
    steps = _steps(values)
    load = _steps(in_flight)
    sxx = sum(step * step for step in load)
    syy = sum(step * step for step in steps)
    sxy = sum(a * b for a, b in zip(steps, load, strict=True))
    if sxy <= 0 or sxy * sxy < 0.25 * sxx * syy:
        return values
    share = sxy / sxx
    return [v - share * n for v, n in zip(values, in_flight, strict=True)]


def _steps(values: list[float]) -> list[float]:
    return [b - a for a, b in zip(values, values[2:], strict=False)]
