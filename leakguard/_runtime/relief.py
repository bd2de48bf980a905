"""Gives memory back when asked: callbacks of the program's, a collection, a trim.

Rules of this file: one at a time, in a thread that lives only as long as there is
something to do; what a relief raises is logged once and counted; one that hangs keeps
its thread and nothing else; after some failures it is not run any more. Only names,
numbers and types of exceptions are kept.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
import weakref
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from leakguard._core.counters import Relief
from leakguard._core.policy_table import rank
from leakguard._readers.process import (
    collects_automatically,
    read_counters,
    trim_heap,
)
from leakguard._readers.threads import native
from leakguard._runtime.thread import DaemonThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from leakguard._core.policy import Action
    from leakguard._core.policy_table import Level

_log = logging.getLogger("leakguard")

#: A relief that takes longer counts as failed; one that failed so often is disabled.
LONGEST_SECONDS: Final = 10.0
MOST_FAILURES: Final = 3
#: Collections may take this share of the time: each is followed by a rest.
COLLECT_SHARE: Final = 0.05
#: From so many blocks on a collection of all generations may hold the GIL for seconds.
MANY_BLOCKS: Final = 30_000_000
KEPT_RELIEFS: Final = 32
STOP_PATIENCE_SECONDS: Final = 1.0


class Job:
    """A relief that may be asked for again and again."""

    def __init__(self, run: Callable[[], object], level: Level, name: str) -> None:
        self.run, self.level, self.name = run, level, name
        self.failures = 0
        self.begun_at: float | None = None
        self.is_late = False

    @property
    def is_disabled(self) -> bool:
        """Whether it failed too often."""
        return self.failures >= MOST_FAILURES


class Reliefs:
    """The reliefs of a process. Any thread may ask; only its own runs them."""

    def __init__(
        self,
        *,
        rss_bytes: Callable[[], int | None] = lambda: read_counters().rss_bytes,
        collect: Callable[[int], int] = gc.collect,
        trim: Callable[[], bool] = trim_heap,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Remember what to ask; nothing runs yet."""
        self._rss_bytes, self._collect = rss_bytes, collect
        self._clock, self._cpu_clock = clock, cpu_clock
        self._builtin = {
            "collect": Job(self._collect_within_share, "high", "gc.collect"),
            "trim": Job(trim, "high", "heap trim"),
        }
        self._callbacks: list[Job] = []
        self.reset()

    def reset(self) -> None:
        """Forget what is under way, as in a forked child; callbacks stay."""
        self._lock = native("_thread", "allocate_lock")()
        self._thread: DaemonThread | None = None
        self._queue: list[Job] = []
        self._now: Job | None = None
        self._rest_until = float("-inf")
        self._history: deque[Relief] = deque(maxlen=KEPT_RELIEFS)
        for job in self._jobs():
            job.begun_at, job.is_late = None, False

    def add(self, run: Callable[[], object], level: Level) -> Job:
        """Call ``run`` at this level of pressure and above, until it is removed."""
        job = Job(run, level, name_of(run))
        with self._lock:
            self._callbacks.append(job)
        return job

    def remove(self, jobs: Iterable[Job]) -> None:
        """Call these no more."""
        gone = set(map(id, jobs))
        with self._lock:
            self._callbacks = [job for job in self._callbacks if id(job) not in gone]

    def ask(self, action: Action) -> None:
        """Have it done soon, in the thread. Cost: some µs, or 100 to start it."""
        if action.kind == "collect" and not self._may_collect(action):
            return
        with self._lock:
            for job in self._jobs_for(action):
                runs = job.begun_at is not None or job in self._queue
                if not runs and not job.is_disabled:
                    self._queue.append(job)
            self._ensure()

    def watch(self) -> None:
        """Notice a relief that hangs, and go on without it. Cost: below 1 µs."""
        job = self._now
        begun_at = job.begun_at if job is not None else None
        if job is None or begun_at is None:
            return
        if self._clock() - begun_at > LONGEST_SECONDS:
            with self._lock:
                if self._now is not job:
                    return
                job.is_late = True
                self._now = self._thread = None  # it keeps its thread
                self._ensure()
            self._blame(job, f"still runs after {LONGEST_SECONDS:.0f} s")

    def history(self) -> tuple[Relief, ...]:
        """Return what the last reliefs did, oldest first."""
        return tuple(self._history)

    def disabled(self) -> tuple[str, ...]:
        """Return the names of those that failed too often."""
        return tuple(job.name for job in self._jobs() if job.is_disabled)

    def stop(self, patience_seconds: float = STOP_PATIENCE_SECONDS) -> None:
        """Begin no other one; wait a little for the one that runs."""
        with self._lock:
            self._queue.clear()
            thread = self._thread
        if thread is not None:
            thread.stop(patience_seconds)

    def _jobs(self) -> list[Job]:
        return [*self._builtin.values(), *self._callbacks]

    def _jobs_for(self, action: Action) -> list[Job]:
        if action.kind in self._builtin:
            return [self._builtin[action.kind]]
        self._callbacks = [job for job in self._callbacks if not _is_dead(job.run)]
        level = rank(action.level)
        jobs = [job for job in self._callbacks if rank(job.level) <= level]
        return sorted(jobs, key=lambda job: rank(job.level))

    def _ensure(self) -> None:
        """Start the thread if there is something to do; the lock is held."""
        if self._thread is None and self._queue:
            try:
                self._thread = DaemonThread(self._loop, "leakguard-relief")
            except RuntimeError as error:  # no more threads: not our host's trouble
                self._queue.clear()
                _log.debug("no relief: %s", error)

    def _loop(self, thread: DaemonThread) -> None:
        while True:
            with self._lock:
                if self._thread is not thread:
                    return
                if thread.stopping or not self._queue:
                    self._thread = None
                    return
                job = self._now = self._queue.pop(0)
                job.begun_at = self._clock()
            self._carry_out(job, job.begun_at)
            with self._lock:
                job.begun_at, job.is_late = None, False
                if self._thread is thread:
                    self._now = None

    def _carry_out(self, job: Job, begun_at: float) -> None:
        before, error = self._rss_bytes(), None
        try:
            job.run()
        except BaseException as raised:  # noqa: BLE001 - also an exit: not its business
            error = type(raised).__name__
        after, seconds = self._rss_bytes(), self._clock() - begun_at
        freed = before - after if before is not None and after is not None else None
        self._history.append(Relief(job.name, begun_at, seconds, freed, error))
        if error is not None:
            self._blame(job, f"failed: {error}")
        elif seconds > LONGEST_SECONDS and not job.is_late:
            self._blame(job, f"took {seconds:.0f} s")

    def _blame(self, job: Job, what: str) -> None:
        job.failures += 1
        if job.failures == 1:
            _log.warning("the relief %s %s", job.name, what)
        elif job.failures == MOST_FAILURES:
            text = "the relief %s %s, and is not called any more"
            _log.warning(text, job.name, what)

    def _may_collect(self, action: Action) -> bool:
        """Return false within a rest, and where the program wants no collector.

        Unless all else has failed: the level is critical and stays so.
        """
        if self._clock() < self._rest_until:
            return False
        lasts = action.level == "critical" and action.held_seconds > 0
        return lasts or collects_automatically()

    def _collect_within_share(self) -> None:
        begun = self._cpu_clock()
        self._collect(1 if sys.getallocatedblocks() > MANY_BLOCKS else 2)
        cost = self._cpu_clock() - begun
        self._rest_until = self._clock() + cost / COLLECT_SHARE


class Weakly:
    """Calls a method of something, and does nothing once that is gone.

    With a ``lock``, whatever has ``__enter__`` and ``__exit__``, it is held meanwhile.
    """

    def __init__(
        self,
        owner: object,
        method: str,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """Keep no more than a weak reference.

        Raises:
            TypeError: there can be none, as to a plain ``dict``.

        """
        self._owner = weakref.ref(owner)
        self._method, self._lock = method, lock or nullcontext()
        self.name = f"{name_of(owner)}.{method}"

    @property
    def is_dead(self) -> bool:
        """Whether its object is gone."""
        return self._owner() is None

    def __call__(self) -> None:
        """Call the method, if there still is one."""
        owner = self._owner()
        if owner is not None:
            with self._lock:
                getattr(owner, self._method)()


def name_of(thing: object) -> str:
    """Return a name as its module writes it, and nothing of any value."""
    if isinstance(thing, Weakly):
        return thing.name
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    parts = (named.__module__, named.__qualname__)  # a C method has no module
    return ".".join(part for part in parts if part)[:200]


def _is_dead(run: Callable[[], object]) -> bool:
    return isinstance(run, Weakly) and run.is_dead
