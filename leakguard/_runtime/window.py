"""Look at nothing but what was born since: the newborn window.

Everything alive moves out of the collector's sight (``gc.freeze``, microseconds) and
tracemalloc traces what comes after, so a look costs what is new and not the heap.

Rules of this file: one window is open in the process at a time; an application's
own frozen heap and running tracemalloc are used as they are and left as they are;
however the window ends, and at once in a forked child, all is put back.
"""

from __future__ import annotations

import gc
import logging
import os
import tracemalloc
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from leakguard._core.records import LeakguardError, Unknown
from leakguard._core.traces import Traces
from leakguard._readers import heap
from leakguard._readers import tracing as tracer
from leakguard._runtime import fence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Literal[True] | Unknown
    _T = TypeVar("_T")

#: How long an opening window tries to start tracing, and a closing one to stop it.
OPEN_PATIENCE_SECONDS: Final = 1.0
CLOSE_PATIENCE_SECONDS: Final = 5.0
#: Between two tries; threads that were held back start meanwhile.
_REST_SECONDS: Final = 0.02


class WindowRefused(LeakguardError):  # noqa: N818 - like WorkFailed, what happened
    """The window could not be opened; nothing has been changed."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw.

    ``before`` are the traces before a collection, None when the look did not
    collect: what only a collection frees is in ``before`` and not in ``traces``.
    ``objects_before`` counts the newborn objects that the collector tracked then.
    ``collected`` is what ``gc.collect`` returned. ``pause_seconds`` is the longest
    step of the look, an upper bound of the time it held the GIL at a stretch.
    """

    traces: Traces
    before: Traces | None
    objects_before: int
    collected: int
    pause_seconds: float


class Window:
    """An open newborn window; ``newborn_window`` makes it.

    ``shared_tracing``: the application traces already; what it had traced before is
    subtracted, and its number of frames is what there is. ``frozen``: the old heap
    is out of sight; it is not where the application froze its own.
    """

    def __init__(self, nframe: int, keep: frozenset[str] = frozenset()) -> None:
        self.frozen = False
        self.tracing = False
        self.shared_tracing = False
        self.longest_pause_seconds = 0.0
        self._nframe = nframe
        self._skip = tracer.SkipFrames(keep=keep)
        self._baseline: Traces | None = None

    def read_traces(self) -> Traces:
        """Return what was allocated in the window and still lives, by stack.

        Cost: about 1 ms per 1 000 to 2 000 newborn traces; beside the application's
        own tracing, that for all its traces.
        """
        if not self.tracing:
            return Traces((), array("q"), array("q"))
        traces = self._timed(self._read)
        return traces if self._baseline is None else _since(traces, self._baseline)

    def _read(self) -> Traces:
        return tracer.read_traces(self._nframe, self._skip)

    def look(self, *, collect: bool | None = None) -> Look:
        """Read the traces, before and after a collection where one is made.

        It collects when the application's collector is on and has only newborn
        objects to see; ``collect`` overrules that.
        """
        if collect is None:
            collect = gc.isenabled() and self.frozen
        so_far, self.longest_pause_seconds = self.longest_pause_seconds, 0.0
        try:
            objects = self._timed(heap.newborn_count)
            before = self.read_traces() if collect else None
            collected = self._timed(gc.collect) if collect else 0
            traces = self.read_traces()
            pause = self.longest_pause_seconds
        finally:
            self.longest_pause_seconds = max(so_far, self.longest_pause_seconds)
        return Look(traces, before, objects, collected, pause)

    def unfreeze(self) -> None:
        """Show the old heap to the collector again, early: to look for holders."""
        if self.frozen:
            self.frozen = False
            self._timed(heap.unfreeze)

    def _timed(self, step: Callable[[], _T]) -> _T:
        begun = perf_counter()
        try:
            return step()
        finally:
            pause = perf_counter() - begun
            self.longest_pause_seconds = max(self.longest_pause_seconds, pause)

    def _open(self, *, freeze: bool, trace: bool) -> None:
        settle_tracing()
        if freeze:
            self.frozen = self._timed(heap.freeze)
        if trace:
            self._trace()

    def _trace(self) -> None:
        if tracemalloc.is_tracing():
            self.shared_tracing = self.tracing = True
            self._baseline = self._timed(
                lambda: tracer.read_traces(self._nframe, self._skip)
            )
            return
        # Claimed first: should an exception hit in between, tracing is stopped.
        self.tracing = True
        answer = _patiently(
            lambda: fence.start_tracing(self._nframe), OPEN_PATIENCE_SECONDS
        )
        if isinstance(answer, Unknown):
            self.tracing = False
            raise WindowRefused(f"tracing could not be started: {answer.reason}")

    def _close(self) -> None:
        try:
            self.unfreeze()
        finally:
            ours, self.tracing = self.tracing and not self.shared_tracing, False
            if ours:
                _stop_ours()

    def _abandon(self) -> None:
        """Put all back in a forked child, where no other thread needs a fence."""
        ours, self.tracing = self.tracing and not self.shared_tracing, False
        self.unfreeze()
        if ours:
            tracemalloc.stop()


class _State:
    """What the process knows of windows."""

    def __init__(self) -> None:
        self.open: dict[str, Window] = {}
        self.stop_owed = False
        self.fork_hook = False

    def claim(self, window: Window) -> None:
        """Make this the one open window.

        Raises:
            WindowRefused: there is one already.

        """
        if self.open.setdefault("window", window) is not window:  # atomic
            raise WindowRefused("another newborn window is open in this process")
        if not self.fork_hook and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.abandon)
            self.fork_hook = True

    def let_go(self, window: Window) -> None:
        """Let the next window open, if it was this one that was open."""
        if self.open.get("window") is window:
            self.open.pop("window", None)

    def abandon(self) -> None:
        """In a forked child: the window is the parent's."""
        window = self.open.pop("window", None)
        if window is not None:
            window._abandon()  # noqa: SLF001 - one module, two halves
        if self.stop_owed:
            self.stop_owed = False
            tracemalloc.stop()


_STATE = _State()


@contextmanager
def newborn_window(
    nframe: int = 1,
    *,
    freeze: bool = True,
    tracing: bool = True,
    keep: frozenset[str] = frozenset(),
) -> Iterator[Window]:
    """Open a window onto what is born while it is open.

    ``nframe`` is the depth of the traces. Without ``freeze`` the collector keeps
    seeing the old heap; without ``tracing`` no traces are taken. ``keep`` names files
    of leakguard's whose blocks count all the same. Cost: to open and
    to close about 3 ms each beside other threads, 0.3 ms alone; stopping adds
    0.1 µs per live trace. What is allocated meanwhile costs as tracemalloc does.

    Raises:
        WindowRefused: another window is open, or no quiet moment to start tracing
            came within a second. Nothing is changed then.

    """
    window = Window(nframe, keep)
    _STATE.claim(window)
    try:
        try:
            window._open(freeze=freeze, trace=tracing)  # noqa: SLF001 - one module
            yield window
        finally:
            window._close()  # noqa: SLF001 - one module
    finally:
        _STATE.let_go(window)


def settle_tracing() -> bool:
    """Stop the tracing that a closing window could not stop; True if none is left.

    Call it now and then while windows are in use. Cost: nothing when none is owed.
    """
    if _STATE.stop_owed and fence.stop_tracing() is True:
        _STATE.stop_owed = False
    return not _STATE.stop_owed


def _stop_ours() -> None:
    _STATE.stop_owed = True
    try:
        answer = _patiently(fence.stop_tracing, CLOSE_PATIENCE_SECONDS)
    except BaseException:  # a KeyboardInterrupt: put back all the same
        settle_tracing()
        raise
    if answer is True:
        _STATE.stop_owed = False
        return
    # Slow, but right: a forced stop could crash the process.
    logging.getLogger("leakguard").warning(
        "tracemalloc stays on until a quiet moment comes: %s", answer.reason
    )


def _patiently(step: Callable[[], Answer], patience_seconds: float) -> Answer:
    """Try again until it is done, or out of time, or can never be done."""
    give_up_at = monotonic() + patience_seconds
    while isinstance(answer := step(), Unknown):
        hopeless = answer.reason.startswith("unsupported")
        if hopeless or monotonic() >= give_up_at:
            break
        fence.rest(_REST_SECONDS)
    return answer


def _since(traces: Traces, baseline: Traces) -> Traces:
    """Return what has grown against the baseline, by stack."""
    before = baseline.by_stack()
    stacks, sizes, counts = [], array("q"), array("q")
    for stack, (size, count) in traces.by_stack().items():
        old_size, old_count = before.get(stack, (0, 0))
        if size > old_size or count > old_count:
            stacks.append(stack)
            sizes.append(max(0, size - old_size))
            counts.append(max(0, count - old_count))
    return Traces(tuple(stacks), sizes, counts)
