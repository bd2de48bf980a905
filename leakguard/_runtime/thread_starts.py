"""Under a hard heap limit, a thread that finds no memory to begin hangs nobody.

Such a thread never says that it has begun, and who started it waits for that forever: a
server with a thread for each request takes no more requests. CPython does so in all
versions up to 3.15 (https://github.com/python/cpython/issues/140746). Here threads
start with the reserve of memory, and the start of one that has died fails.

Rules of this file: what was there is put back, unless someone has replaced ours since;
then ours goes on, and ends with theirs.
"""

from __future__ import annotations

import threading
import weakref
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from leakguard._runtime.thread import is_green

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    Start = Callable[[threading.Thread], None]
    Room = Callable[[], AbstractContextManager[object]]

#: How often it is looked whether a thread that has not begun is still alive.
_LOOK_SECONDS = 0.05


class ThreadStarts:
    """``threading.Thread.start`` within what ``room`` returns, for 20 µs more."""

    def __init__(self, room: Room) -> None:
        """Patch nothing yet."""
        self._room = room
        self._patched: tuple[Start, Start] | None = None

    def patch(self) -> None:
        """Have all threads start so from now on. Twice does no harm."""
        if self._patched is None:
            original = threading.Thread.start
            ours = _careful(original, self._room)
            self._patched = original, ours
            _put(ours)

    def undo(self) -> None:
        """Put back what was there."""
        if self._patched is not None:
            original, ours = self._patched
            if threading.Thread.start is ours:
                _put(original)
            self._patched = None


def _put(start: Start) -> None:
    threading.Thread.start = start  # type: ignore[assignment,method-assign]


def _careful(original: Start, room: Room) -> Start:
    @wraps(original)
    def start(self: Any) -> None:  # noqa: ANN401 - what is needed has no public name
        known = getattr(self, "_started", None)
        if not isinstance(known, threading.Event) or known.is_set() or is_green():
            return original(self)
        self._started = _Begun(self)
        with room():
            original(self)
        known.set()
        self._started = known
        return None

    return start


class _Begun(threading.Event):
    """That a thread has begun; who waits for it learns, too, that it never will."""

    def __init__(self, thread: Any) -> None:  # noqa: ANN401 - as above
        super().__init__()
        self._thread = thread
        # What a thread runs is let go of at its end, however early that is.
        thread._bootstrap = partial(thread._bootstrap)  # noqa: SLF001

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - none is given
        """Return when the thread has begun.

        Raises:
            RuntimeError: it has not, and has ended.

        """
        runs = weakref.ref(vars(self._thread).pop("_bootstrap"))
        while not super().wait(_LOOK_SECONDS):
            if runs() is None and not self.is_set():
                getattr(threading, "_limbo", {}).pop(self._thread, None)
                raise RuntimeError("can't start new thread")  # CPython's own words
        return True
