"""A memory history as a small picture for a terminal.

Rules of this file: the drawing is plotille's; labels are ours. Without plotille, an
extra of leakguard's, there is a line that says how to get it and no picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakguard._core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard._core.samples import Sample

HINT = "(no chart: pip install 'leakguard[chart]' for one)"
_LABEL_WIDTH, _AXIS_WIDTH = 10, 4
_LEAST_WIDTH = 10
_PAGE_BYTES = 4096.0
#: Room above and below a line, as a share of its level, so that noise looks small.
_ROOM = 0.05


def memory_points(samples: Sequence[Sample]) -> list[tuple[float, int]]:
    """Return time and bytes of the first signal known: RSS, working set, in use."""
    for signal in (_rss, _working_set, _in_use):
        read = ((sample.t_seconds, signal(sample)) for sample in samples)
        points = [(time, size) for time, size in read if size is not None]
        if points:
            return points
    return []


def draw_chart(samples: Sequence[Sample], *, width: int, height: int = 8) -> str:
    """Return a picture of memory over time, or the line `HINT` without plotille.

    Fewer than two points are no picture, but an empty text. Cost: about 10 ms.
    """
    points = memory_points(samples)
    if len(points) < 2:
        return ""
    try:
        from plotille import Figure
    except ImportError:
        return HINT
    figure = Figure()
    figure.width = max(width - _LABEL_WIDTH - _AXIS_WIDTH, _LEAST_WIDTH)
    figure.height = height
    figure.with_colors = figure.origin = figure.with_x_axis = False
    figure.linesep = "\n"
    times, sizes = zip(*points, strict=True)
    low, high = min(sizes), max(sizes)
    room = max(_ROOM * high, _PAGE_BYTES)
    figure.set_x_limits(min_=times[0], max_=times[-1])
    figure.set_y_limits(min_=max(low - room, 0.0), max_=high + room)
    figure.y_ticks_fkt = lambda at, _next: format_bytes(float(at)).rjust(_LABEL_WIDTH)
    figure.plot(times, sizes)
    return _framed(figure.show(), figure.width, times[-1] - times[0])


def _framed(picture: str, width: int, span_seconds: float) -> str:
    """Put the time axis below the picture, in place of the empty label above it."""
    rows = [line.rstrip(" \u2800") for line in picture.splitlines()[1:]]
    span = format_seconds(span_seconds)
    axis = f"{'':{_LABEL_WIDTH}} +{'-' * (width + 1)}"
    scale = f"{'':{_LABEL_WIDTH}}   0{span:>{width - 1}}"
    return "\n".join([*rows, axis, scale])


def _rss(sample: Sample) -> int | None:
    return sample.rss_bytes


def _working_set(sample: Sample) -> int | None:
    if sample.cgroup_usage_bytes is None:
        return None
    return max(sample.cgroup_usage_bytes - (sample.cgroup_inactive_file_bytes or 0), 0)


def _in_use(sample: Sample) -> int | None:
    return sample.in_use_bytes
