"""Who is called back: listeners, handlers, exit functions and finalizers."""

from __future__ import annotations

import contextlib
import functools
import sys
from itertools import count
from typing import TYPE_CHECKING, Any

from leakguard._core.resources import Kind
from leakguard._instruments.targets import (
    Resource,
    Target,
    adds,
    entry,
    releases,
    removes,
)

if TYPE_CHECKING:
    from leakguard._instruments.targets import Function
    from leakguard._runtime.resources import Shelf

_ONCE = "Register once, when the program starts, or remove it in a finally block."

LISTENER = Resource(
    Kind(
        "listeners of pyee",
        "listener",
        f"{_ONCE} once() removes itself.",
        "emitter.remove_listener('event', listener)",
        collected="released",
    )
)
SIGNAL_HANDLER = Resource(
    Kind(
        "signal handlers of asyncio loops",
        "handler",
        f"{_ONCE} Close each loop.",
        "loop.remove_signal_handler(signal.SIGTERM)",
        collected="released",
    )
)
LOG_HANDLER = Resource(
    Kind(
        "logging handlers",
        "handler",
        "Configure logging once, when the program starts; or remove each handler and "
        "close it.",
        "logger.removeHandler(handler)",
        collected="released",
    )
)
EXIT = Resource(
    Kind(
        "functions registered by atexit",
        "registry",
        f"{_ONCE} Each keeps its arguments until the program ends; "
        "weakref.finalize(obj, ...) ends with its object.",
        "atexit.unregister(function)",
        collected="released",
    )
)
FINALIZER = Resource(
    Kind(
        "finalizers",
        "registry",
        "Their objects never die: see who holds them, and that neither the function "
        "nor its arguments refer to the object itself.",
        "weakref.finalize(self, shutil.rmtree, self.path)  # not self.close",
        collected="released",
    )
)


def _is_connected(signal: Any, key: Any) -> bool:
    # What is held weakly leaves by itself. A key is of the signal and its receiver.
    return key is None or key[1] in signal.receivers


RECEIVER = Resource(
    Kind(
        "receivers of blinker signals",
        "listener",
        f"{_ONCE} Do not pass weak=False for what should die.",
        "signal.disconnect(receiver)",
        collected="released",
    ),
    _is_connected,
)


def _connects(original: Function, shelf: Shelf) -> Function:
    make_id, take = sys.modules["blinker.base"].make_id, shelf.take

    @functools.wraps(original)
    def connect(self: Any, receiver: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, receiver, *args, **kwargs)
        take(self, (id(self), make_id(receiver)))
        return result

    return connect


def _empties(original: Function, shelf: Shelf) -> Function:
    """Wrap what removes the listeners of one event, or of all."""

    @functools.wraps(original)
    def remove_all(self: Any, event: Any = None) -> Any:
        with contextlib.suppress(Exception):  # then the original tells of it
            for name in self.event_names() if event is None else [event]:
                for listener in self.listeners(name):
                    shelf.drop(entry(self, name, listener))
        return original(self, event)

    return remove_all


def _registers(original: Function, shelf: Shelf) -> Function:
    take, numbers = shelf.take, count()

    @functools.wraps(original)
    def register(func: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = original(func, *args, **kwargs)
        take(func, next(numbers))
        return result

    return register


def _unregisters(original: Function, shelf: Shelf) -> Function:
    @functools.wraps(original)
    def unregister(func: Any, /) -> None:
        original(func)
        for key, hold in list(shelf.holds.items()):
            if hold() == func:  # as atexit finds them
                shelf.drop(key)

    return unregister


def _finalizes(original: Function, shelf: Shelf) -> Function:
    take = shelf.take

    @functools.wraps(original)
    def init(self: Any, obj: Any, /, *args: Any, **kwargs: Any) -> None:
        original(self, obj, *args, **kwargs)
        take(obj, id(self))

    return init


PYEE = (
    Target("pyee.base", "EventEmitter._add_event_handler", adds(2), LISTENER),
    Target("pyee.base", "EventEmitter._remove_listener", removes(2), LISTENER),
    Target("pyee.base", "EventEmitter.remove_all_listeners", _empties, LISTENER),
)
BLINKER = (Target("blinker.base", "Signal.connect", _connects, RECEIVER),)
LOGGING = (
    Target("logging", "Logger.addHandler", adds(), LOG_HANDLER),
    Target("logging", "Logger.removeHandler", removes(), LOG_HANDLER),
)
ATEXIT = (
    Target("atexit", "register", _registers, EXIT),
    Target("atexit", "unregister", _unregisters, EXIT),
)
WEAKREF = (
    Target("weakref", "finalize.__init__", _finalizes, FINALIZER),
    Target("weakref", "finalize.__call__", releases, FINALIZER),
    Target("weakref", "finalize.detach", releases, FINALIZER),
)
