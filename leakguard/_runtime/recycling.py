"""Asks the server to replace this worker: at most once, and one sibling at a time.

Rules of this file: it runs in the watcher's thread, so it is brief; no request is cut,
for each server is asked for its own graceful end; the siblings share a lock that is
held until this process has ended, however it ends; where something that is needed is
not known, nobody is asked.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from leakguard._core.pressure import pressure_of
from leakguard._core.records import Unknown
from leakguard._core.recycling import (
    NOTHING_LEFT,
    SERVERS,
    Legacy,
    Objection,
    Situation,
    object_to,
    object_to_rate,
)
from leakguard._core.units import format_bytes
from leakguard._readers.servers import (
    here,
    read_family,
    read_worker,
    started_ticks,
    uvicorn_server,
)
from leakguard._runtime.siblings import (
    read_legacy,
    read_shared,
    take_turn,
    write_shared,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from leakguard._core.policy import Action
    from leakguard._core.policy_table import Policy
    from leakguard._core.recycling import Way, Worker
    from leakguard._readers.servers import Here
    from leakguard._runtime.watcher import State

    Ask = Callable[[Here, Worker], object]

_log = logging.getLogger("leakguard")

#: What uvicorn has accepted it gets so long to read, for it closes what it has not
#: read when it ends: at 1000 new connections a second, one in two ends lost a request.
LINGER_SECONDS: Final = 1.0


class Account(NamedTuple):
    """How often the server was asked, and the last reason why, or why not."""

    asked: int = 0
    reason: str | None = None


class Recycler:
    """Decides about this process when it is a worker under lasting pressure."""

    def __init__(
        self,
        policy: Policy,
        *,
        look: Callable[[], Here] = here,
        ways: Mapping[Way, Ask] | None = None,
        directories: Iterable[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember the parts; nothing is read yet. All siblings have one ``clock``."""
        self._policy, self._look, self._clock = policy, look, clock
        self._ways = WAYS if ways is None else ways
        self._directories = directories
        self._turn: int | None = None
        self.reset()

    def reset(self) -> None:
        """Begin the life of a worker, as in a forked child. The parent keeps its turn.

        A child that kept the descriptor would keep the lock when the parent is gone.
        """
        if self._turn is not None:
            with suppress(OSError):
                os.close(self._turn)
        self._turn = None
        self._born_at = self._clock()
        self._least_bytes: int | None = None
        self._told: set[str] = set()
        self.account = Account()

    @property
    def is_asked(self) -> bool:
        """Whether this worker is to be replaced. Cost: below 1 µs."""
        return self.account.asked > 0

    def ticked(self, seen: State) -> None:
        """Remember how small this worker was. Cost: below 1 µs."""
        now_bytes = seen.sample.rss_bytes if seen.sample is not None else None
        if now_bytes is not None:
            self._least_bytes = min(now_bytes, self._least_bytes or now_bytes)

    def inherited(self) -> Legacy:
        """Return what the last worker that was replaced knew.

        Its successor would have to learn it anew, at the limit already. Never raises.
        Cost: some milliseconds.
        """
        try:
            worker = read_worker(self._look())
            if not isinstance(worker, Unknown):
                return read_legacy(worker, self._directories)
        except Exception as error:  # noqa: BLE001 - never the program's trouble
            _log.debug("nothing is inherited: %s", type(error).__name__)
        return NOTHING_LEFT

    def consider(
        self, action: Action, seen: State, legacy: Legacy = NOTHING_LEFT
    ) -> None:
        """Ask the server to replace this worker, or tell once why not. Never raises.

        The level has to last first, for the reliefs to have their chance. The next one
        inherits the ``legacy``. Cost: some ms, and no more once it was asked.
        """
        lasts = action.held_seconds >= self._policy.cool_down_seconds["recycle"]
        if self.is_asked or not lasts:
            return
        try:
            objection = self._consider(action, seen, legacy)
        except Exception as error:  # noqa: BLE001 - never the program's trouble
            objection = Objection("failed", f"asking failed: {type(error).__name__}")
        if objection is None or objection.kind == "soon":
            return
        self.account = Account(0, objection.reason)
        if objection.kind not in self._told:
            self._told.add(objection.kind)
            _log.warning("this process is not replaced: %s", objection.reason)

    def _consider(
        self, action: Action, seen: State, legacy: Legacy
    ) -> Objection | None:
        at = self._look()
        worker = read_worker(at)
        if isinstance(worker, Unknown):
            return Objection("alone", worker.reason)
        server = SERVERS[worker.server]
        now = self._situation(at, action, seen)
        objection = object_to(server, self._policy, now)
        if objection is not None:
            return objection
        turn = take_turn(worker, self._directories)
        if isinstance(turn, Objection):
            return turn
        try:
            objection = self._in_turn(turn, at, worker, legacy)
            if objection is None:
                self._turn = turn
        finally:
            if self._turn is None:
                os.close(turn)
        if objection is None:
            reason = f"{action.reason}, {format_bytes(now.own_bytes)} of it here"
            self.account = Account(1, reason)
            text = "this worker asks %s to be replaced: %s"
            _log.warning(text, server.name, reason)
        return objection

    def _in_turn(
        self, turn: int, at: Here, worker: Worker, legacy: Legacy
    ) -> Objection | None:
        """Ask, unless there were too many lately; the siblings' lock is held."""
        server, now = SERVERS[worker.server], self._clock()
        times = [known for known in read_shared(turn)[0] if known <= now]
        ages = tuple(now - known for known in times)
        objection = object_to_rate(server, self._policy, ages)
        if objection is None:
            times = [*times, now][-self._policy.recycles_per_hour :]
            write_shared(turn, times, legacy)
            self._ways[server.way](at, worker)
        return objection

    def _situation(self, at: Here, action: Action, seen: State) -> Situation:
        own, siblings = read_family(at)
        least, sample = self._least_bytes, seen.sample
        rss = sample.rss_bytes if sample is not None else None
        return Situation(
            action.held_seconds,
            self._clock() - self._born_at,
            own,
            siblings,
            least,
            rss - least if rss is not None and least is not None else None,
            seen.pressure.limit_bytes,
            _headroom_bytes(seen),
        )


def _headroom_bytes(seen: State) -> int | None:
    rss_bytes = seen.sample.rss_bytes if seen.sample is not None else None
    nearest = pressure_of(seen.reading, rss_bytes=rss_bytes)
    if nearest.limit_bytes is None or nearest.unreclaimable_bytes is None:
        return None
    return max(0, nearest.limit_bytes - nearest.unreclaimable_bytes)


def _terminate(at: Here, _worker: Worker) -> None:
    os.kill(at.pid, signal.SIGTERM)


def _reload(at: Here, _worker: Worker) -> None:
    os.kill(at.pid, signal.SIGHUP)


def _reload_all(at: Here, worker: Worker) -> None:
    if os.getppid() != worker.master_pid or worker.master_started != started_ticks(
        worker.master_pid, at.root
    ):
        raise ProcessLookupError
    os.kill(worker.master_pid, signal.SIGHUP)


def _leave(at: Here, _worker: Worker) -> None:
    """Have uvicorn accept no more, read what it has accepted, and then end.

    The master keeps the socket, so the siblings accept what comes.
    """
    server = uvicorn_server(at)
    loop = server.servers[0].get_loop()
    loop.call_soon_threadsafe(_close, server, loop)


def _close(server: Any, loop: Any) -> None:  # noqa: ANN401 - uvicorn's and the loop's
    # First what ends it: a worker that accepts no more and stays would be no use.
    loop.call_later(LINGER_SECONDS, server.handle_exit, signal.SIGTERM, None)
    for listener in server.servers:
        # Closed at once, asyncio would drop what it accepts at this very moment. uvloop
        # does not, and waits for connections by other means than readers.
        readers = [loop.remove_reader(found.fileno()) for found in listener.sockets]
        if not any(readers):
            listener.close()


def _after_task(at: Here, _worker: Worker) -> None:
    """Have billiard, which asks this after each task, find that it is too much."""
    at.modules["billiard.pool"].mem_rss = lambda: sys.maxsize


WAYS: Final[Mapping[Way, Ask]] = {
    "terminate": _terminate,
    "leave": _leave,
    "reload": _reload,
    "reload all": _reload_all,
    "after task": _after_task,
}
