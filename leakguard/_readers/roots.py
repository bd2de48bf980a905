"""What keeps objects alive by itself: where a retention path may begin.

Modules and classes are roots with a name. What the interpreter's C code holds is
asked for where it can be (handlers of signals, the hooks of tracing). A task, an
event loop, a context, a generator and a running function live on their own, too, and
are named when nothing better holds the object.

Rules of this file: no code of the user's runs; nothing is imported that the program
has not; roots are told by ``id``, so that none is kept alive.
"""

from __future__ import annotations

import sys
import types
from contextvars import Context
from functools import cached_property
from typing import TYPE_CHECKING, Any

from leakguard._readers.attributes import (
    dict_of,
    is_a,
    is_any,
    module_file,
    module_tables,
    module_variables,
    modules_by_dict,
)
from leakguard._readers.heap import name_of_type, type_name
from leakguard._readers.source import is_own, library_directories

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Frames of a thread that are looked at, innermost first.
_MOST_FRAMES = 200
#: Longer texts are no keys to show.
_SHORT_TEXT = 31

#: Suspended code, and where each of its kinds keeps the frame and the code.
SUSPENDED: tuple[tuple[type[Any], str, str], ...] = (
    (types.GeneratorType, "gi", "generator"),
    (types.CoroutineType, "cr", "coroutine"),
    (types.AsyncGeneratorType, "ag", "generator"),
)
_SUSPENDED = tuple(kind for kind, _, _ in SUSPENDED)
_CALLABLE = (types.MethodType, types.FunctionType, types.BuiltinFunctionType)


class Roots:
    """The named roots of this moment, by ``id``."""

    def __init__(self) -> None:
        """Ask the interpreter. Cost: about 0.1 µs per module, and 50 µs."""
        self.modules = modules_by_dict()
        self.held_by_c = {id(item): name for item, name in _held_by_c()}
        self._lives: tuple[tuple[tuple[type[Any], ...], int], ...] = (
            ((Context, *_tasks(), *_event_loops()), 3),
            (_SUSPENDED, 2),
            ((types.FrameType,), 1),
        )

    @cached_property
    def constants(self) -> frozenset[str]:
        """The short texts in the code of the application's functions.

        Cost: 1 us per function.
        """
        libraries = library_directories()
        found: set[str] = set()
        for name, table in module_tables():
            file = module_file(name)
            if file is not None and not file.startswith(libraries):
                for code in _codes_in(list(table.values())):
                    found.update(c for c in code.co_consts if type(c) is str)
        return frozenset(text for text in found if len(text) <= _SHORT_TEXT)

    def names(self, item: object) -> bool:
        """Return whether a path may begin here, and need not go on."""
        return is_any(item, (type, types.ModuleType)) or id(item) in self.modules

    def life_of(self, item: object) -> int:
        """Return how well it explains that it lives, should nothing named hold it.

        Zero is not at all; a task says more than the frame of its coroutine.
        """
        if id(item) in self.held_by_c:
            return 3
        return next((rank for kinds, rank in self._lives if is_any(item, kinds)), 0)

    def name(self, root: object) -> str:
        """Return what a root is called; of anything else the type's name."""
        known = self.modules.get(id(root)) or self.held_by_c.get(id(root))
        if known is not None:
            return known
        if is_a(root, types.ModuleType):
            return str(types.ModuleType.__getattribute__(root, "__name__"))
        if is_a(root, type):
            return name_of_type(root)
        if is_any(root, _CALLABLE):
            return f"a callback of native code, a {type_name(root)}"
        return _name_of_living(root) or type_name(root)

    def type_of(self, root: object) -> str:
        """Return a root's type; the dict of a module stands for the module."""
        return "module" if id(root) in self.modules else type_name(root)


def _codes_in(values: list[object]) -> Iterator[types.CodeType]:
    """Yield the code of functions, of classes' methods, and what is nested in it."""
    for value in values:
        if is_a(value, type):
            values += [
                v for v in dict_of(value).values() if is_a(v, types.FunctionType)
            ]
        elif is_a(value, types.FunctionType):
            pending = [value.__code__]
            while pending:
                code = pending.pop()
                yield code
                pending += [c for c in code.co_consts if type(c) is types.CodeType]


def is_callback(item: object) -> bool:
    """Return whether C code may hold it to call it (``atexit``, fork hooks, ctypes)."""
    return is_any(item, _CALLABLE)


def running_locals() -> Iterator[tuple[types.FrameType, object]]:
    """Yield the variables of functions that run now: the frame and the value.

    Before CPython 3.13 to read them leaves a copy in the frame, which keeps the values
    until the function returns: ask only where nothing else is known. Frames of
    leakguard's are left out. Cost: about 1 µs per variable.
    """
    for innermost in list(sys._current_frames().values()):  # noqa: SLF001 - its name
        for frame in stack(innermost):
            if not is_own(frame.f_code.co_filename):
                yield from ((frame, value) for value in list(frame.f_locals.values()))


def stack(innermost: types.FrameType | None = None) -> Iterator[types.FrameType]:
    """Yield a frame and its callers; without one, the frames of this thread."""
    frame = innermost or sys._getframe()  # noqa: SLF001 - its name
    for _ in range(_MOST_FRAMES):
        yield frame
        if frame.f_back is None:
            return
        frame = frame.f_back


def code_of(item: object) -> types.CodeType | None:
    """Return the code of suspended code, of a running frame or of a task's coroutine.

    ``None`` for anything else.
    """
    if is_a(item, types.FrameType):
        return item.f_code
    for kind, prefix, _ in SUSPENDED:
        if is_a(item, kind):
            code: types.CodeType = getattr(item, f"{prefix}_code")
            return code
    return None


def coroutine_of(task: object) -> object | None:
    """Return the coroutine that an asyncio task runs, or ``None``."""
    for kind in _tasks():
        if is_a(task, kind):
            found: object = kind.get_coro(task)
            return found
    return None


def _name_of_living(root: object) -> str | None:
    code = code_of(coroutine_of(root) or root)
    if is_a(root, Context):
        return "context"
    if is_a(root, types.FrameType):
        return f"{root.f_code.co_name}() frame"
    for kind, _, word in SUSPENDED:
        if is_a(root, kind) and code is not None:
            return f"{code.co_name}() {word}"
    if is_any(root, tuple(_tasks())):
        return f"{code.co_name}() task" if code is not None else "task"
    return "event loop" if is_any(root, tuple(_event_loops())) else None


def _tasks() -> list[type[Any]]:
    """Return asyncio's classes of tasks, if it is loaded."""
    return _classes("asyncio.tasks", "_CTask", "_PyTask")


def _event_loops() -> list[type[Any]]:
    return _classes("asyncio.base_events", "BaseEventLoop")


def _classes(module: str, *names: str) -> list[type[Any]]:
    variables = module_variables(module)
    return [kind for name in names if is_a(kind := variables.get(name), type)]


def _held_by_c() -> Iterator[tuple[object, str]]:
    """Yield what C code holds and tells, with the call that returns it."""
    signal: Any = sys.modules.get("signal")
    if is_a(signal, types.ModuleType):
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if handler is not None and not is_a(handler, int):
                yield handler, f"signal.getsignal({_signal_name(number)})"
    for name in ("gettrace", "getprofile"):
        hook = getattr(sys, name)()
        if hook is not None:
            yield hook, f"sys.{name}()"


def _signal_name(number: object) -> str:
    return str(getattr(number, "name", number))
