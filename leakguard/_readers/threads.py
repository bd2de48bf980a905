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
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    #: By ``id``: some code, kept so that it keeps its id, and its allocating spans.
    Memo = dict[int, tuple[CodeType, list[tuple[range, str]]]]

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

#: An executor's thread that is in its own ``run`` runs a C function, whichever:
#: ``asyncio.to_thread(zlib.decompress, data)``.
EXECUTOR: Final = os.path.join("concurrent", "futures", "thread.py")


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

    ``kernel`` are all threads by the kernel's number, ``known`` those of them that
    live ``threading.Thread`` objects account for, ``visitors`` the threads inside
    Python that ``threading`` did not start.
    """

    count: int
    kernel: frozenset[int]
    known: frozenset[int]
    visitors: frozenset[int]

    @property
    def strangers(self) -> frozenset[int]:
        """The kernel's threads that Python does not know: foreign, or dying."""
        return self.kernel - self.known - {_get_native_id()}

    @property
    def alone(self) -> bool:
        """No other thread exists that could do anything at all."""
        return self.count == 0 and len(self.kernel) == 1


class Host:
    """All that the fence asks of the process; tests hand in another one.

    ``count`` is the number of threads that Python started and that still run,
    ``frames`` each thread's frame; call it under ``paused_collector()``.
    """

    def __init__(self) -> None:
        self.clock: Callable[[], float] = native("time", "monotonic")
        self.sleep: Callable[[float], None] = native("time", "sleep")
        self.count: Callable[[], int] = _thread._count  # noqa: SLF001 - the only one
        self.frames: Callable[[], dict[int, FrameType]] = sys._current_frames  # noqa: SLF001 - documented

    def sight(self) -> Sight:
        """Look at the threads. Cost: about 20 µs, and 1 µs per thread."""
        try:
            kernel = frozenset(map(int, os.listdir("/proc/self/task")))
        except (OSError, ValueError):  # no /proc: the quiet time alone must do
            kernel = frozenset()
        with paused_collector():
            inside = frozenset(self.frames())
        # Read without the module's lock: C code throughout, so in one piece.
        living = tuple(threading._active.values())  # type: ignore[attr-defined]  # noqa: SLF001
        own = [t for t in living if not isinstance(t, threading._DummyThread)]  # noqa: SLF001
        return Sight(
            count=self.count(),
            kernel=kernel,
            known=frozenset(t.native_id for t in own if t.native_id is not None),
            visitors=inside.difference(t.ident for t in own),
        )

    def is_asleep(self, kernel_thread: int) -> bool:
        """Return whether the thread waits for something other than a processor."""
        try:
            with open(f"/proc/self/task/{kernel_thread}/stat", "rb") as file:
                return file.read().rpartition(b") ")[2][:1] == b"S"
        except OSError:  # gone
            return False

    def unsupported(self) -> str | None:
        """Return why no moment is quiet in this process, if that is so."""
        if not getattr(sys, "_is_gil_enabled", _yes)():
            return "unsupported: a free-threaded interpreter allocates without a GIL"
        if _interpreters() > 1:
            return "unsupported: sub-interpreters start threads behind our back"
        return None


def _yes() -> bool:
    return True


@contextmanager
def paused_collector() -> Iterator[None]:
    """Keep the collector from running: within ``frames`` it may deadlock (gh-106883).

    CPython disables it there itself only since 3.12.1.
    """
    collecting = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if collecting:
            gc.enable()


def allocating_call(code: CodeType, place: int, memo: Memo) -> str | None:
    """Return the name on the line of ``place`` that is in ``OUTSIDE_GIL``.

    ``place`` is a frame's ``f_lasti``. It is not asked of the frame here, because a
    thread moves on while it is judged. ``memo`` keeps what was found out about code;
    drop it soon, it holds the code. Cost: 0.2 µs, or, once for code that has such a
    name, about 1 µs an instruction.
    """
    if code.co_name == "run" and code.co_filename.endswith(EXECUTOR):
        return "run"
    if OUTSIDE_GIL.isdisjoint(code.co_names):
        return None
    if id(code) not in memo:
        memo[id(code)] = (code, _allocating_spans(code))
    spans = memo[id(code)][1]
    return next((name for span, name in spans if place in span), None)


def _allocating_spans(code: CodeType) -> list[tuple[range, str]]:
    """Return the instructions of the lines that have such a name on them."""
    import dis

    steps = dis.get_instructions(code)
    named = [s for s in steps if isinstance(s.argval, str) and s.argval in OUTSIDE_GIL]
    spans = [(range(start, end), line) for start, end, line in code.co_lines()]
    names = {
        line: step.argval
        for step in named
        for span, line in spans
        if step.offset in span
    }
    return [(span, names[line]) for span, line in spans if line in names]


def _interpreters() -> int:
    """How many interpreters live in the process; 1 where nobody can tell."""
    new = sys.version_info >= (3, 13)
    try:
        module = __import__("_interpreters" if new else "_xxsubinterpreters")
        return len(module.list_all())
    except (ImportError, AttributeError, RuntimeError):
        return 1
