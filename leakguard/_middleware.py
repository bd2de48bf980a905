"""What the middlewares of all protocols share: the door that requests come through.

Rules of this file: nothing is started before the first request; what a callable of
the user's raises never reaches the program; a client's key goes to the gate, which
hashes it, and nowhere else.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeVar

from leakguard._core.gate import PRIORITIES
from leakguard._core.priorities import DEFAULT, by_path
from leakguard._core.records import LeakguardError
from leakguard._runtime.monitor import process
from leakguard._shortage import listen
from leakguard.guard import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from leakguard._core.access import Request
    from leakguard._core.gate import Priority, Refusal
    from leakguard._render.refusal import Answer
    from leakguard._runtime.gate import Gate
    from leakguard.guard import Guard
    from leakguard.routes import DebugRoutes

_R = TypeVar("_R")
_T = TypeVar("_T")
_log = logging.getLogger("leakguard")


class Door(Generic[_R]):
    """Asks the gate of a guard for each request, which is a ``_R``.

    ``gate`` is ``None`` until the first request; ``own_paths`` are answered here;
    ``is_hard`` says that the guard has a hard heap limit, ``is_special`` that there is
    more to do than to ask the gate; ``failures`` counts what the
    user's callables raised or returned in vain.
    """

    def __init__(
        self,
        guard: Guard | None,
        priority: Mapping[str, Priority] | Callable[[_R], Priority] | None,
        readiness_path: str | None,
        client_key: Callable[[_R], str | None],
        debug: DebugRoutes | None = None,
    ) -> None:
        """Check and remember the options; nothing runs.

        Raises:
            LeakguardError: an option makes no sense; one sentence says which.

        """
        if readiness_path is not None and not readiness_path.startswith("/"):
            message = f"readiness_path begins with a slash, unlike {readiness_path!r}"
            raise LeakguardError(message)
        if debug is not None and not hasattr(debug, "paths"):
            kind = type(debug).__name__
            message = f"debug is a leakguard.routes.DebugRoutes, not a {kind}"
            raise LeakguardError(message)
        patterns = {} if priority is None or callable(priority) else priority
        self._by_path = by_path(patterns)
        self._priority = priority if callable(priority) else None
        self._client_key = client_key
        self._guard = guard
        self.guard: Guard | None = None
        self.readiness_path = readiness_path
        self.debug = debug
        own = () if debug is None else debug.paths
        self.own_paths = frozenset([*own, *filter(None, [readiness_path])])
        self.gate: Gate | None = None
        self.is_hard = False
        self.is_special = bool(self.own_paths)
        self.failures = 0

    def find_gate(self) -> Gate:
        """Start the guard, or the process's if none was given, and return its gate.

        Never raises: where there can be no guard, requests are counted and come in.
        Cost: some milliseconds if the guard is not started yet.
        """
        try:
            guard = self._guard if self._guard is not None else watch()
            guard.start()
            self.is_hard = listen()
            self.is_special = self.is_special or self.is_hard
            if self.debug is not None:
                self.debug.attach()
            self.guard, self.gate = guard, guard.gate
        except Exception as error:  # noqa: BLE001 - never the program's trouble
            _log.warning("no request will be refused: there is no guard (%s)", error)
            self.gate = process().gate
        return self.gate

    def answer_debug(self, request: Request) -> Answer | None:
        """Return the debug routes' answer, if it is for them. Never raises.

        It may take long.
        """
        if self.debug is None or self.guard is None:
            return None
        return self.debug.answer(request, self.guard)

    def refuse(self, gate: Gate, request: _R, path: str) -> Refusal | None:
        """Return why the request has to stay outside, or ``None``. Never raises.

        For a gate that is not open: else nothing of the request matters.
        """
        priority = self._by_path(path)
        if self._priority is not None and priority == DEFAULT:
            said = self._ask(self._priority, request)
            if said in PRIORITIES:
                priority = said
            elif said is not None:
                self._fail("returned no priority")
        return gate.admit(priority, self._ask(self._client_key, request))

    def _ask(self, ask: Callable[[_R], _T], request: _R) -> _T | None:
        try:
            return ask(request)
        except Exception as error:  # noqa: BLE001 - never the request's trouble
            self._fail(f"raised {type(error).__name__}")
            return None

    def _fail(self, what: str) -> None:
        self.failures += 1
        if self.failures == 1:
            _log.warning(
                "a callable given to the middleware %s: such requests have "
                "the priority %s, or no key of their own",
                what,
                DEFAULT,
            )


async def ask_debug(door: Door[_R], request: Request) -> Answer | None:
    """Return the debug routes' answer, from a thread: an event loop goes on.

    Who may not come in costs no thread. Beside an event loop that is not asyncio's
    there is none to be had, so it is answered at once.
    """
    if door.debug is None or not door.debug.admits(request):
        return None
    from asyncio import to_thread

    try:
        return await to_thread(door.answer_debug, request)
    except RuntimeError:
        return door.answer_debug(request)
