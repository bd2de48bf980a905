"""Look at nothing but what was born since: the newborn window.

Everything alive moves out of the collector's sight (``gc.freeze``, microseconds) and
tracemalloc traces what comes after, so a look costs what is new and not the heap.

Rules of this file: one window is open in the process at a time; an application's
own frozen heap and running tracemalloc are used as they are and left as they are;
however the window ends, and in a forked child at once, all is put back.
"""

from __future__ import annotations

import gc
import os
import threading
import time
import tracemalloc
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from leakguard._core.records import LeakguardError, Unknown
from leakguard._core.traces import Traces
from leakguard._readers import heap, tracing
from leakguard._runtime import fence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: How long an opening window tries to start tracing, and a closing one to stop it.
OPEN_PATIENCE_SECONDS: Final = 1.0
CLOSE_PATIENCE_SECONDS: Final = 5.0
_REST_SECONDS: Final = 0.02


class WindowRefused(LeakguardError):
    """The window could not be opened; nothing has been changed."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw.

    ``before`` are the traces before a collection, None when the look did not
    collect: what only a collection frees is in ``before`` and not in ``traces``.
    ``objects_before`` counts the newborn objects the collector tracked then.
    ``collected`` is what ``gc.collect`` returned. ``pause_seconds`` is the longest
    step of the look, an upper bound of the time it held the GIL at a stretch.
    """

    traces: Traces
    before: Traces | None
    objects_before: int
    collected: int
    pause_seconds: float


class Window:
    """An open newborn window; made by ``newborn_window``.

    ``shared_tracing`` says that the application traces already: what it had traced
    before is subtracted, its frames are what there is. ``frozen`` says that the old
    heap is out of sight; it is not where the application froze its own.
    """

    def __init__(self) -> None:
        self.frozen = False
        self.tracing = False
        self.shared_tracing = False
        self.longest_pause_seconds = 0.0
        self.opened_at = 0.0
        self._baseline: Traces | None = None
        self._nframe = 1

    @property
    def seconds(self) -> float:
        """Time since the window opened."""
        return time.perf_counter() - self.opened_at

    def read_traces(self) -> Traces:
        """Read what was allocated in the window and still lives.

        Cost: about 1 ms per 1 000 to 2 000 newborn traces.
        """
        if not self.tracing:
            return Traces((), array("q"), array("q"))
        traces = self._timed(lambda: tracing.read_traces(self._nframe))
        return traces if self._baseline is None else _since(traces, self._baseline)

    def look(self, *, collect: bool | None = None) -> Look:
        """Read the traces, before and after a collection where one is made.

        It collects when the application's collector is on and only newborn objects
        are in its sight; ``collect`` overrules that.
        """
        if collect is None:
            collect = gc.isenabled() and self.frozen
        earlier, self.longest_pause_seconds = self.longest_pause_seconds, 0.0
        try:
            objects = self._timed(lambda: len(heap.newborn_objects()))
            before = self.read_traces() if collect else None
            collected = self._timed(gc.collect) if collect else 0
            traces = self.read_traces()
            pause = self.longest_pause_seconds
        finally:
            self.longest_pause_seconds = max(earlier, self.longest_pause_seconds)
        return Look(traces, before, objects, collected, pause)

    def unfreeze(self) -> None:
        """Give the old heap back to the collector early, to look for holders."""
        if self.frozen:
            self.frozen = False
            self._timed(heap.unfreeze)

    def _timed(self, step: Callable[[], _T]) -> _T:
        begun = time.perf_counter()
        try:
            return step()
        finally:
            pause = time.perf_counter() - begun
            self.longest_pause_seconds = max(self.longest_pause_seconds, pause)

    def _open(self, nframe: int, *, freeze: bool, trace: bool) -> None:
        self._nframe = nframe
        if freeze:
            self.frozen = self._timed(heap.freeze)
        if trace:
            self._start_tracing(nframe)
        self.opened_at = time.perf_counter()
