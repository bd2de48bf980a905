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
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from leakguard._core.traces import Traces
from leakguard._readers.source import is_own

if TYPE_CHECKING:
    from collections.abc import Callable

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
    # No automatic collection meanwhile: the look must not cure the patient, and a
    # million new tuples would set off collections of the whole heap.
    collecting = gc.isenabled()
    gc.disable()
    try:
        groups = _sizes_by_stack(_raw_traces())
        traces = Traces.from_groups(_kept(groups, skip))
    finally:
        if collecting:
            gc.enable()
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


def _kept(groups: dict[Stack, list[int]], skip: SkipFrames) -> dict[Stack, list[int]]:
    """Return the groups that are not left out; each file is judged once."""
    wanted = _Wanted(skip)
    if not skip.all_frames:
        return {key: groups[key] for key in groups if not key or wanted[key[0][0]]}
    own = _Wanted(SkipFrames(own=skip.own, keep=skip.keep))
    included, excluded = _matcher(skip.include), _matcher(skip.exclude)

    def matches(stack: Stack) -> bool:
        files = {file for file, _ in stack}
        found = not skip.include or any(map(included, files))
        return found and not any(map(excluded, files))

    return {
        key: groups[key]
        for key in groups
        if not key or (own[key[0][0]] and matches(key))
    }


class _Wanted(dict[str, bool]):
    """Whether blocks are wanted whose innermost frame lies in a file."""

    def __init__(self, skip: SkipFrames) -> None:
        self._skip = skip
        self._included = _matcher(skip.include)
        self._excluded = _matcher(skip.exclude)

    def __missing__(self, file: str) -> bool:
        skip = self._skip
        own = is_own(file) or file == tracemalloc.__file__
        left_out = skip.own and own and file not in skip.keep
        chosen = not skip.include or self._included(file)
        wanted = self[file] = not left_out and chosen and not self._excluded(file)
        return wanted


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    if not patterns:
        return lambda _file: False
    anywhere = [f"*/{text}" for text in patterns if not text.startswith(("/", "*"))]
    texts = map(fnmatch.translate, (*patterns, *anywhere))
    match = re.compile("|".join(texts)).match
    return lambda file: match(file.replace("\\", "/")) is not None
