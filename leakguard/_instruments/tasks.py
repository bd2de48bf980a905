"""Tasks of asyncio, by the line that made them, and what they raised unheard."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from leakguard._core.resources import Kind
from leakguard._instruments.emitters import SIGNAL_HANDLER
from leakguard._instruments.targets import (
    Resource,
    Target,
    adds,
    removes,
    returns,
    shelf_of,
)

if TYPE_CHECKING:
    from leakguard._core.records import Frame
    from leakguard._instruments.targets import Function
    from leakguard._runtime.resources import Shelf


def _is_pending(task: Any, _key: object) -> bool:
    return not task.done()


TASK = Resource(
    Kind(
        "asyncio tasks",
        "task",
        "Await or cancel each task: a TaskGroup ends those that it has made, and "
        "asyncio.timeout() those that wait for ever.",
        "async with asyncio.TaskGroup() as group: group.create_task(work())",
        collected="released",
    ),
    _is_pending,
)
UNHEARD = Resource(
    Kind(
        "exceptions",
        "traceback",
        "Await the task, or ask it for its exception() when it is done: until then it "
        "keeps the traceback, and with it the variables of every frame.",
        "task.add_done_callback(lambda task: task.exception())",
        collected="lost",
        counted_as="exceptions of tasks made on this line were never retrieved",
    )
)


def _hears(original: Function, shelf: Shelf) -> Function:
    tasks = shelf_of(TASK, shelf)

    @functools.wraps(original)
    def handle(self: Any, context: Any) -> Any:
        try:
            if str(context.get("message")).endswith("exception was never retrieved"):
                shelf.lose(_place_of(context["future"], tasks))
        except Exception:  # noqa: BLE001 - never the program's trouble
            shelf.book.failures += 1
        return original(self, context)

    return handle


def _place_of(future: Any, tasks: Shelf) -> Frame:
    """Return the line that made the task; else, where its coroutine begins."""
    hold = tasks.holds.get(id(future))
    if hold is not None:
        return hold.line.frame
    code = future.get_coro().cr_code
    return code.co_filename, code.co_firstlineno


_LOOP = "BaseEventLoop.create_task", "BaseEventLoop.call_exception_handler"
_UNIX = "_UnixSelectorEventLoop"
ASYNCIO = (
    Target("asyncio.base_events", _LOOP[0], returns, TASK),
    Target("asyncio.base_events", _LOOP[1], _hears, UNHEARD),
    Target(
        "asyncio.unix_events", f"{_UNIX}.add_signal_handler", adds(), SIGNAL_HANDLER
    ),
    Target(
        "asyncio.unix_events",
        f"{_UNIX}.remove_signal_handler",
        removes(),
        SIGNAL_HANDLER,
    ),
)
