"""Ask the process which threads it has, and what they are about to do.

Rules of this file: read only, no lock is taken, nothing of a frame is kept.
Beside gevent the native primitives are asked, not the green ones.
"""

from __future__ import annotations

import _thread
import gc
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: Calls of the standard library that use ``PyMem_Raw*`` after releasing the GIL
#: (CPython's zlibmodule.c, _bz2module.c, _lzmamodule.c, posixmodule.c, pwdmodule.c,
#: grpmodule.c). Toggling beside them crashes as surely as beside thread churn.
OUTSIDE_GIL: Final = frozenset(
    {
        "compress",
        "decompress",
        "flush",
        "getcwd",
        "getcwdb",
        "getgrgid",
        "getgrnam",
        "getpwnam",
        "getpwuid",
    }
)


def native(module: str, name: str) -> Any:  # noqa: ANN401 - whatever lives there
    """Return the standard library's function, even where gevent replaced it."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(sys.modules[module], name)


_get_ident: Callable[[], int] = native("_thread", "get_ident")
_get_native_id: Callable[[], int] = native("_thread", "get_native_id")


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at the process's threads saw.

    ``strangers`` are kernel threads no live ``threading.Thread`` accounts for;
    ``visitors`` are threads inside Python that ``threading`` did not start.
    """

    count: int
    kernel: frozenset[int]
    strangers: frozenset[int]
    visitors: frozenset[int]

    @property
    def alone(self) -> bool:
        """No other thread exists that could do anything at all."""
        return self.count == 0 and len(self.kernel) == 1


class Host:
    """All that the fence asks of the process; tests hand in another one.

    ``count`` is the number of threads that Python started and that still run.
    """

    def __init__(self) -> None:
        self.clock: Callable[[], float] = native("time", "monotonic")
        self.sleep: Callable[[float], None] = native("time", "sleep")
        self.count: Callable[[], int] = _thread._count  # noqa: SLF001 - the only one

    def sight(self) -> Sight:
        """Look at the threads. Cost: about 20 µs, and 1 µs per thread."""
        try:
            kernel = frozenset(map(int, os.listdir("/proc/self/task")))
        except (OSError, ValueError):  # no /proc: the quiet time alone must do
            kernel = frozenset()
        # Read without the module's lock: C code throughout, so in one piece.
        living = tuple(threading._active.values())  # type: ignore[attr-defined]  # noqa: SLF001
        own = [t for t in living if not isinstance(t, threading._DummyThread)]  # noqa: SLF001
        known = {t.native_id for t in own}
        known.add(_get_native_id())
        return Sight(
            count=self.count(),
            kernel=kernel,
            strangers=kernel - known,
            visitors=frozenset(_frames()).difference(t.ident for t in own),
        )

    def outside_gil(self) -> str | None:
        """Return the call in which a thread may be allocating without the GIL."""
        me = _get_ident()
        for ident, frame in _frames().items():
            if ident != me and (name := _allocating_call(frame)):
                return name
        return None

    def unsupported(self) -> str | None:
        """Return why no moment is quiet in this process, if that is so."""
        if not getattr(sys, "_is_gil_enabled", _yes)():
            return "unsupported: a free-threaded interpreter allocates without a GIL"
        if _interpreters() > 1:
            return "unsupported: sub-interpreters start threads behind our back"
        return None


def _yes() -> bool:
    return True


def _frames() -> dict[int, FrameType]:
    """Return the threads' frames; a collection in there may deadlock (gh-106883)."""
    collecting = gc.isenabled()
    try:
        gc.disable()
        return sys._current_frames()  # noqa: SLF001 - the documented name
    finally:
        if collecting:
            gc.enable()


def _allocating_call(frame: FrameType) -> str | None:
    """Return the name on the frame's current line that is in ``OUTSIDE_GIL``."""
    code, line = frame.f_code, frame.f_lineno
    if OUTSIDE_GIL.isdisjoint(code.co_names):
        return None
    import dis

    here = [range(start, end) for start, end, at in code.co_lines() if at == line]
    for step in dis.get_instructions(code):
        if step.argval in OUTSIDE_GIL and any(step.offset in span for span in here):
            return str(step.argval)
    return None


def _interpreters() -> int:
    """How many interpreters live in the process; 1 where nobody can tell."""
    new = sys.version_info >= (3, 13)
    try:
        module = __import__("_interpreters" if new else "_xxsubinterpreters")
        return len(module.list_all())
    except (ImportError, AttributeError, RuntimeError):
        return 1
