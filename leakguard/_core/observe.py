"""Looks at a running work, as records: what was alive after how many calls.

A ``Checkpoint`` is one look. A tuple of them is the only memory the judgement has:
``growth_rows`` and the laws below are folds over it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakguard._core.growth import Law, fit_growth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from leakguard._core.records import Frame

#: Growth of a site over the later half of the calls that counts as none: what the
#: interpreter itself scatters (free lists, type caches, one object in flight).
SITE_FLOOR_BYTES = 256
SITE_FLOOR_BYTES_PER_CALL = 0.02
#: The C heap moves by some KB from look to look (per-thread caches, bins).
HEAP_FLOOR_BYTES = 64 * 1024
#: tracemalloc's own cost in the C heap for one live trace, rounded up: two malloc
#: chunks, hash entry (48) and trace (32), and its share of the table.
TRACER_BYTES_PER_TRACE = 112
#: pymalloc serves blocks up to this size and counts them.
SMALL_BLOCK_BYTES = 512
#: A buffer that is extended is one block, or a few; a cache that is just full has many.
_MOST_RESIZED = 4
#: How many times longer than ever before a site has to stand still to have stopped.
_STILL_RATIO = 3
#: Fewer new blocks than this drown in what the looks themselves keep.
_TURNOVER_BLOCKS = 5_000
_TURNOVER_BYTES = 1024 * 1024
#: Resident memory moves by whole arenas (1 MiB each since 3.10).
RESIDENT_FLOOR_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was alive after ``calls`` calls, counted from the start of tracing.

    ``sites`` maps the allocating frame to (bytes, blocks).
    """

    calls: int
    seconds: float
    sites: Mapping[Frame, tuple[int, int]]
    traced_bytes: int
    traces: int
    python_blocks: int
    heap_bytes: int | None
    rss_bytes: int | None
    pause_seconds: float
    threads: int | None = None
    open_files: int | None = None
    exit_callbacks: int | None = None


@dataclass(frozen=True, slots=True)
class GrowthRow:
    """One allocation site and its law in bytes and in blocks per call."""

    frame: Frame
    size: Law
    blocks: Law

    @property
    def is_resized(self) -> bool:
        """Whether it is a block that grows, such as a buffer, and not their number."""
        still = self.blocks.shape in {"flat", "decaying"}
        return still and self.blocks.grown <= _MOST_RESIZED


def growth_rows(looks: Sequence[Checkpoint]) -> tuple[GrowthRow, ...]:
    """Return the sites that grew over the later half, fastest first.

    Cost: one fit per site that grew, a few microseconds each.
    """
    if len(looks) < 2:
        return ()
    calls = [look.calls for look in looks]
    last, middle = looks[-1], look_near_half(looks)
    floor = max(SITE_FLOOR_BYTES, SITE_FLOOR_BYTES_PER_CALL * (calls[-1] / 2))
    rows = []
    for frame, (size, _) in last.sites.items():
        if size - middle.sites.get(frame, (0, 0))[0] <= floor:
            continue
        sizes = [look.sites.get(frame, (0, 0))[0] for look in looks]
        blocks = [look.sites.get(frame, (0, 0))[1] for look in looks]
        law = fit_growth(calls, sizes, floor=floor)
        rows.append(GrowthRow(frame, law, fit_growth(calls, blocks)))
    return tuple(sorted(rows, key=lambda row: -row.size.grown))


def native_law(looks: Sequence[Checkpoint]) -> Law | None:
    """Return the law of memory that is neither Python's nor the tracer's.

    A lower bound: all traced bytes and the tracer's full cost are taken off. ``None``
    where the C heap cannot be read.
    """
    return _law(looks, _native_bytes, HEAP_FLOOR_BYTES)


def resident_law(looks: Sequence[Checkpoint]) -> Law | None:
    """Return the law of resident memory beyond the C heap, Python and the tracer."""
    return _law(looks, _unexplained_bytes, RESIDENT_FLOOR_BYTES)


def is_turnover(
    looks: Sequence[Checkpoint],
    row: GrowthRow,
    *,
    blocks: int = _TURNOVER_BLOCKS,
    size_bytes: int = _TURNOVER_BYTES,
) -> bool:
    """Return whether what a site grew only took the place of what was there before.

    Blocks older than the tracing are not seen to go, so a full cache whose entries
    are replaced looks like growth. The counters of all blocks stand still then: the
    interpreter's of those it serves itself, the C heap's of the larger ones. Growth
    up to ``blocks`` or ``size_bytes`` is too little for them to tell.
    """
    last, middle = looks[-1], look_near_half(looks)
    if row.size.slope <= SMALL_BLOCK_BYTES * row.blocks.slope:
        if not last.python_blocks:  # PYTHONMALLOC=malloc: they are not counted
            return False
        born = row.blocks.grown
        seen: float = last.python_blocks - middle.python_blocks
        return born > blocks and seen < born / 4
    if last.heap_bytes is None or middle.heap_bytes is None:
        return False
    tracer = (last.traces - middle.traces) * TRACER_BYTES_PER_TRACE
    seen = last.heap_bytes - middle.heap_bytes - tracer
    return row.size.grown > size_bytes and seen < row.size.grown / 4


def still_calls(looks: Sequence[Checkpoint], row: GrowthRow) -> int:
    """Return for how many calls a site has stood still at the end, at least.

    0 if it has stood still for a third as long before: work that leaks once in so many
    calls does.
    """
    blocks = [look.sites.get(row.frame, (0, 0))[1] for look in looks]
    runs = [
        [looks[at].calls for at, _ in run]
        for _, run in itertools.groupby(enumerate(blocks), key=lambda one: one[1])
    ]
    *before, last = [calls[-1] - calls[0] for calls in runs]
    return last if last > _STILL_RATIO * max(before, default=0) else 0


def look_near_half(looks: Sequence[Checkpoint]) -> Checkpoint:
    """Return the look after which the later half of the calls begins."""
    half = looks[-1].calls * 0.45
    return [look for look in looks if look.calls <= half or look is looks[0]][-1]


def _law(
    looks: Sequence[Checkpoint],
    measure: Callable[[Checkpoint], int | None],
    floor: float,
) -> Law | None:
    values = [measure(look) for look in looks]
    known = [value for value in values if value is not None]
    if len(known) != len(values):
        return None
    return fit_growth([look.calls for look in looks], known, floor=floor)


def _native_bytes(look: Checkpoint) -> int | None:
    if look.heap_bytes is None:
        return None
    tracer = look.traces * TRACER_BYTES_PER_TRACE
    return look.heap_bytes - look.traced_bytes - tracer


def _unexplained_bytes(look: Checkpoint) -> int | None:
    if look.heap_bytes is None or look.rss_bytes is None:
        return None
    return look.rss_bytes - look.heap_bytes - look.traced_bytes
