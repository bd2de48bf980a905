"""What the middlewares do when the application runs out of memory in a request.

Rules of this file: one request fails, and the process lives. Meanwhile a hard heap
limit is raised a little; the frames that failed let go of what they hold.
"""

from __future__ import annotations

import logging
import random
import sys
import traceback
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from leakguard._core.gate import Refusal
from leakguard._core.policy_table import RETRY_AFTER_SECONDS
from leakguard._readers.process import trim_heap
from leakguard._render.refusal import refuse
from leakguard._runtime.monitor import process

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from leakguard._render.refusal import Answer

_log = logging.getLogger("leakguard")

#: Module and name of the signals that frameworks send with an exception that they are
#: about to answer with a 500; what a receiver raises passes through to the middleware.
_SIGNALS = (
    ("flask.signals", "got_request_exception"),
    ("django.core.signals", "got_request_exception"),
)


def room() -> AbstractContextManager[None]:
    """Return what allows some more memory, where leakguard limits it."""
    monitor = process().monitor
    return monitor.heap.raised() if monitor is not None else nullcontext()


def out_of_memory(error: MemoryError, accept: str | None) -> Answer:
    """Return a 503 in place of the application's response. Call it within ``room()``.

    What the failed frames hold is let go of; where it failed is logged.
    """
    where = _forget(error)
    _give_back()
    _log.warning("a request ran out of memory and is answered 503 (%s)", where)
    first, last = RETRY_AFTER_SECONDS["critical"]
    wait_seconds = random.randint(first, last)  # noqa: S311 - it spreads retries
    return refuse(
        Refusal("critical", "memory ran out", wait_seconds, "transient"), accept
    )


def _forget(error: BaseException) -> str:
    """Clear the frames of an error and of those that it came of; return where."""
    where, seen = "unknown", error
    for _ in range(20):  # a chain may be a ring
        for frame, line in traceback.walk_tb(seen.__traceback__):
            where = f"{frame.f_code.co_filename}:{line}"
        traceback.clear_frames(seen.__traceback__)
        before = seen.__cause__ or seen.__context__
        if before is None:
            break
        seen = before
    return where


def _give_back() -> None:
    """Have others use at once what was freed.

    The C library keeps it for the thread that freed it, and for the kernel it goes on
    to count, until it is given back and the limit follows. Cost: about 6 ms for each
    100 MiB.
    """
    monitor = process().monitor
    if monitor is not None and monitor.heap.in_force:
        trim_heap()
        monitor.heap.look()


def listen() -> bool:
    """Have the frameworks let a lack of memory through, under a hard heap limit.

    They answer 500 otherwise, before the middleware learns of it. Twice does no harm.
    Return whether there is such a limit.
    """
    monitor = process().monitor
    if monitor is None or not monitor.heap.in_force:
        return False
    for module, name in _SIGNALS:
        signal: Any = getattr(sys.modules.get(module), name, None)
        if signal is not None:
            signal.connect(_let_through)
    return True


def _let_through(*_sender: object, **_details: object) -> None:
    """Raise what the framework is handling, if it is a lack of memory.

    Without a hard heap limit in force it does nothing.
    """
    error, monitor = sys.exc_info()[1], process().monitor
    if isinstance(error, MemoryError) and monitor is not None and monitor.heap.in_force:
        raise error
