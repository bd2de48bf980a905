"""Read tracemalloc: all live blocks, summed up by stack while they are read.

Rules of this file: allocate as little as possible, because with tracing on every
allocation of ours is traced too, at several times the cost of the work itself.
Starting and stopping are not here: they need the fence.
"""

from __future__ import annotations

import fnmatch
import gc
import re
import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from leakguard._core.traces import Traces
from leakguard._readers.source import is_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard._core.records import Stack

    #: Memory domain, size in bytes, frames innermost first, depth before the cut.
    RawTrace = tuple[int, int, Stack, int]

#: What ``_get_traces`` returns for each block since CPython 3.9.
_RAW_FIELDS = 4


@dataclass(frozen=True, slots=True)
class SkipFrames:
    """Which blocks to leave out, by the file of the frame that allocated them.

    ``own`` leaves out what leakguard itself allocates, except in the files of
    ``keep``. ``include`` and ``exclude`` are patterns like ``"*/app/*.py"``; one
    without a leading ``/`` or ``*`` matches below any directory. With
    ``all_frames`` any frame of the stack may match them.
    """

    own: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    all_frames: bool = False
    keep: frozenset[str] = frozenset()


#: The default: the user's blocks without our own.
OWN = SkipFrames()
#: Leave nothing out.
NOTHING = SkipFrames(own=False)


def read_traces(nframe: int | None = None, skip: SkipFrames = OWN) -> Traces:
    """Return the live traced blocks by stack; nothing when nothing is traced.

    ``nframe`` cuts stacks to that many innermost frames.

    Cost, per live block: 0.2 to 0.8 µs in one piece under the GIL, then 0.1 (1
    frame) to 0.2 µs (10) of Python, and about 100 bytes until it returns.
    """
    with _no_collection():
        groups = _sizes_by_stack(_raw_traces())
        wanted = _wants(skip)
        kept = {stack: groups[stack] for stack in groups if wanted(stack)}
        traces = Traces.from_groups(kept)
    return traces if nframe is None else traces.truncated(nframe)


def tracing_state() -> tuple[bool, int]:
    """Return whether tracemalloc runs, and how many frames it keeps (0 if not)."""
    if not tracemalloc.is_tracing():
        return False, 0
    return True, tracemalloc.get_traceback_limit()


def traced_bytes() -> int:
    """Return the size of all traced blocks. Cost: below 1 µs."""
    return tracemalloc.get_traced_memory()[0]


def overhead_bytes() -> int:
    """Return what tracemalloc itself has allocated. Cost: below 1 µs."""
    return tracemalloc.get_tracemalloc_memory()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold automatic collections back: the look must not cure the patient.

    A million new tuples would also set off collections of the whole heap.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _raw_traces() -> list[RawTrace]:
    """Return every block. The private call; the public one when it has changed."""
    get_traces = getattr(tracemalloc, "_get_traces", None)
    if get_traces is not None:
        raw = get_traces()
        if not raw or len(raw[0]) == _RAW_FIELDS:
            return cast("list[RawTrace]", raw)
    return _public_traces() if tracemalloc.is_tracing() else []


def _public_traces() -> list[RawTrace]:
    """Return the same from the public interface, several times slower."""
    found: list[RawTrace] = []
    for trace in tracemalloc.take_snapshot().traces:
        frames = tuple((frame.filename, frame.lineno) for frame in trace.traceback)
        found.append((trace.domain, trace.size, frames[::-1], len(frames)))
    return found


def _sizes_by_stack(raw: list[RawTrace]) -> dict[Stack, list[int]]:
    """Group the sizes; appending one creates no int, where adding it up would."""
    groups: dict[Stack, list[int]] = {}
    for _, size, frames, _ in raw:
        try:
            groups[frames].append(size)
        except KeyError:  # noqa: PERF203 - rare, and the quick way is for the others
            groups[frames] = [size]
    return groups


def _wants(skip: SkipFrames) -> Callable[[Stack], bool]:
    """Return the test for a stack; it asks about each file once."""
    included, excluded = _matcher(skip.include), _matcher(skip.exclude)
    own: dict[str, bool] = {}

    def is_ours(file: str) -> bool:
        known = own.get(file)
        if known is None:
            ours = is_own(file) or file == tracemalloc.__file__
            known = own[file] = ours and file not in skip.keep
        return known

    def wanted(stack: Stack) -> bool:
        if not stack:
            return True
        if skip.own and is_ours(stack[0][0]):
            return False
        asked = stack if skip.all_frames else stack[:1]
        if skip.include and not any(included(file) for file, _ in asked):
            return False
        return not any(excluded(file) for file, _ in asked)

    return wanted


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    if not patterns:
        return lambda _file: False
    anywhere = [f"*/{text}" for text in patterns if not text.startswith(("/", "*"))]
    texts = map(fnmatch.translate, (*patterns, *anywhere))
    match = re.compile("|".join(texts)).match
    known: dict[str, bool] = {}

    def matches(file: str) -> bool:
        if file not in known:
            known[file] = match(file.replace("\\", "/")) is not None
        return known[file]

    return matches
