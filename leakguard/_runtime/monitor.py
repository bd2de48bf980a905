"""The process's one monitor: what watches and what investigates, shared by guards.

Rules of this file: one monitor per process, also after a fork, a reload of the
package or a second import of it, so it lives in a module of its own in
``sys.modules``; started by its first user and stopped with its last one, and then
nothing is left but fork and exit hooks that find nothing to do.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import time
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from leakguard._core.findings import (
    Weighed,
    explain,
    is_suspicious,
    trend_verdict,
    weigh,
)
from leakguard._core.records import Cost
from leakguard._core.resources import with_retained
from leakguard._core.suppressions import sift
from leakguard._readers.config import read_config_quietly
from leakguard._readers.interpreter import is_main_interpreter
from leakguard._readers.ledger import read_ledger
from leakguard._readers.source import SourceMap
from leakguard._readers.threads import native
from leakguard._runtime.gate import Gate
from leakguard._runtime.heap_limit import HeapLimit
from leakguard._runtime.protection import Protection
from leakguard._runtime.relief import STOP_PATIENCE_SECONDS
from leakguard._runtime.reporting import build_report, memory_of
from leakguard._runtime.retention import Retention
from leakguard._runtime.thread_starts import ThreadStarts
from leakguard._runtime.watcher import Watcher
from leakguard._runtime.work_counter import WorkCounter

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._core.policy_table import Policy
    from leakguard._core.records import Report
    from leakguard._core.samples import Sample
    from leakguard._core.trend import Trend
    from leakguard._runtime.flight import Recorder
    from leakguard._runtime.investigation import Investigation
    from leakguard._runtime.places import Places
    from leakguard._runtime.watcher import State

_log = logging.getLogger("leakguard")

_HOME = "_leakguard_process"
#: At the interpreter's end a thread that is just looking gets this long to put back.
EXIT_PATIENCE_SECONDS = 0.5
#: How often a caller of ``investigate`` looks whether it is over.
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Options:
    """How to watch. All users of a monitor share those of the first."""

    limit_bytes: int | None = None
    budget: float = 0.05
    trace_always: bool = False
    app_root: str | None = None
    policy: Policy | None = None
    flight_record: str | None = None
    termination_log: bool = False
    heap_limit_bytes: int | None = None
    hard: bool = False


class Monitor:
    """Watches this process for as long as it has users.

    ``verdict`` is the last one, of trend and windows together. ``investigation`` is
    ``None`` in a sub-interpreter, where nothing is watched: since CPython 3.13 even
    tracemalloc cannot be imported there, so what needs it is imported late.
    """

    def __init__(
        self, options: Options, work: WorkCounter, gate: Gate | None = None
    ) -> None:
        """Prepare the parts; nothing runs yet. Without ``gate`` it has its own."""
        self.options = options
        self.config = read_config_quietly()
        self.users: list[object] = []
        #: Called after each tick, in the watcher's thread; not in a forked child.
        self.listeners: list[Callable[[Monitor], object]] = []
        self.protection = Protection(
            options.policy,
            gate if gate is not None else Gate(work),
            investigate=self._suspect,
            record=self._record,
        )
        self.heap = HeapLimit(options.heap_limit_bytes, hard=options.hard)
        self._thread_starts = ThreadStarts(self.heap.raised)
        self.watcher = Watcher(
            limit_bytes=options.limit_bytes,
            heap=self.heap.look if options.heap_limit_bytes is not None else None,
            own_rlimits=self.heap.rlimits,
            work=work,
            judged=self._judged,
            ticked=self._ticked,
        )
        self.recorder: Recorder | None = None
        if options.flight_record is not None or options.termination_log:
            from leakguard._runtime.flight import recorder_of

            self.recorder = recorder_of(self)
        self.investigation: Investigation | None = None
        self.places: Places | None = None
        self._work = work
        if is_main_interpreter():
            self._look_into()
        self._traces = False
        self._reset()

    def _look_into(self) -> None:
        """Make what looks for lines and for containers."""
        from leakguard._runtime.investigation import Investigation
        from leakguard._runtime.places import Places

        self.places = Places()
        self.investigation = Investigation(
            work=self._work,
            budget=self.options.budget,
            found=self._weigh,
            has_room=lambda: self.protection.level != "critical",
            places=self.places,
        )

    def _reset(self) -> None:
        self.pid = os.getpid()
        self.verdict = trend_verdict(None, None)
        self._weighed = Weighed()
        self._started_at = time.monotonic()

    def start(self) -> None:
        """Begin to watch."""
        if self.investigation is None:
            self.watcher.reset("unsupported: a sub-interpreter; watch the main one")
            return
        if self.config.trouble:
            _log.warning("%s", self.config.trouble)
        if self.options.trace_always:
            self._trace()
        self._started_at = time.monotonic()
        self.watcher.start()
        if self.recorder is not None:
            self.recorder.start()
        self.heap.start()  # last: near a hard limit no thread can be started
        if self.heap.in_force:
            self._thread_starts.patch()

    def stop(self) -> None:
        """Watch no more and put everything back."""
        self.watcher.stop()
        self._thread_starts.undo()
        self.heap.stop()
        self.protection.stop()
        if self.recorder is not None:
            self.recorder.stop(STOP_PATIENCE_SECONDS)
        if self.investigation is not None:
            self.investigation.stop()
        if self._traces:
            from leakguard._runtime import fence

            self._traces = False
            fence.stop_tracing()

    def investigate(self, seconds: float) -> None:
        """Look for growing lines for so long, and wait for it."""
        if self.investigation is None:
            return
        self.investigation.ask(seconds)
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.investigation.running:
            time.sleep(_POLL_SECONDS)  # looked up each time: green beside gevent

    def report(self) -> Report:
        """Return what is known now, with the ledger. Cost: some milliseconds."""
        self._weigh()
        state, looking = self.watcher.state, self.investigation
        found = explain(self._weighed, state.trend, self.watcher.series.samples())
        names = SourceMap(self.options.app_root).names()
        return build_report(
            "guard",
            found.verdict,
            with_retained(found.suspects, process().retention.suspects(names)),
            found.acquitted,
            looking.cost() if looking is not None else Cost(None, None, 0, 0.0),
            memory=memory_of(state.reading, state.pressure, read_ledger()),
            config=self.config,
        )

    def after_fork(self) -> None:
        """In the child: forget what was the parent's, and watch again."""
        self._reset()
        self.listeners.clear()
        self._work.abandon()
        self.protection.reset()
        self.heap.reset()
        if self.recorder is not None:
            self.recorder.reset()
        if self.investigation is None:
            return
        self.watcher.reset("the first look after the fork is still to come")
        self.investigation.reset()
        if self.places is not None:
            self.places.reset()
        if self.users:
            self.watcher.run()
            if self.recorder is not None:
                self.recorder.run()

    def at_exit(self) -> None:
        """Let the threads end by themselves, so that the interpreter ends quietly."""
        self.watcher.stop(EXIT_PATIENCE_SECONDS)
        if self.recorder is not None:
            self.recorder.stop(EXIT_PATIENCE_SECONDS)
        self.protection.stop(EXIT_PATIENCE_SECONDS)
        if self.investigation is not None:
            self.investigation.stop(EXIT_PATIENCE_SECONDS)

    def _trace(self) -> None:
        import tracemalloc

        from leakguard._runtime import fence

        if not tracemalloc.is_tracing():
            self._traces = fence.start_tracing() is True

    def _weigh(self) -> None:
        if self.investigation is None or self.places is None:
            return
        self._weighed = weigh(
            self.investigation.findings(),
            SourceMap(self.options.app_root).names(),
            seconds=time.monotonic() - self._started_at,
            growing=self.places.growing(),
        )

    def _ticked(self, seen: State) -> float:
        with self.heap.raised():  # a relief's thread may have to be started
            soon = self.protection.ticked(seen)
        looking = self.investigation
        in_sight = looking is None or not looking.running
        with contextlib.suppress(Exception):
            process().retention.tick(heap_in_sight=in_sight)
        for listener in tuple(self.listeners):
            with contextlib.suppress(Exception):
                listener(self)
        return soon

    def _record(self) -> None:
        if self.recorder is not None:
            self.recorder.ask()

    def _judged(self, trend: Trend, samples: tuple[Sample, ...]) -> None:
        self.protection.judged(trend, self.watcher.state)
        if is_suspicious(trend):
            self._suspect()
        if self.places is not None:
            self.places.look()
        before = self.verdict.kind
        found = explain(self._weighed, trend, samples)
        today = time.strftime("%Y-%m-%d", time.gmtime())
        rules = self.config.suppressions
        self.verdict = sift(found.verdict, found.suspects, rules, today).verdict
        if self.verdict.kind != before:
            self._record()

    def _suspect(self) -> None:
        if self.investigation is not None:
            self.investigation.suspect()


class Process(ModuleType):
    """What the process has one of, wherever leakguard was imported from."""

    def __init__(self) -> None:
        super().__init__(_HOME, "What leakguard has one of in this process.")
        self.work = WorkCounter()
        self.gate = Gate(self.work)
        self.retention = Retention()
        #: What ``leakguard.instrument`` has made; its type is of a layer above.
        self.instruments: Any = None
        self.monitor: Monitor | None = None
        self.lock: Any = native("_thread", "RLock")()
        self.warned = self.told_full = False
        self._hooked = False

    def hook(self) -> None:
        """Ask to be told of forks, once, and of the end."""
        self.hook_forks()
        atexit.register(self._at_exit)

    def hook_forks(self) -> None:
        """Ask to be told of forks, once."""
        if not self._hooked and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)
            self._hooked = True

    def unhook(self) -> None:
        """Ask no more, as far as one can: the fork hook stays, with nothing to do."""
        atexit.unregister(self._at_exit)

    def _after_fork(self) -> None:
        self.lock = native("_thread", "RLock")()
        with contextlib.suppress(Exception):
            self.retention.reset()
            if self.instruments is not None:
                self.instruments.after_fork()
            if self.monitor is not None:
                self.monitor.after_fork()
            else:
                self.work.abandon()
                self.gate.reset()

    def _at_exit(self) -> None:
        with contextlib.suppress(Exception):
            if self.monitor is not None:
                self.monitor.at_exit()


def process() -> Process:
    """Return the process's own things; they survive a reload of leakguard."""
    known: Any = sys.modules
    if _HOME not in known:
        known.setdefault(_HOME, Process())
    return cast("Process", known[_HOME])


def attach(user: object, options: Options) -> Monitor:
    """Return the process's monitor with one more user, started if need be."""
    home = process()
    with home.lock:
        monitor = home.monitor
        if monitor is None:
            monitor = home.monitor = Monitor(options, home.work, home.gate)
            home.hook()
        elif monitor.pid != os.getpid():  # a fork past Python's hooks
            monitor.after_fork()
        if user not in monitor.users:
            monitor.users.append(user)
            if len(monitor.users) == 1:
                monitor.start()
        return monitor


def detach(user: object) -> None:
    """Let go of the monitor; it stops with its last user."""
    home = process()
    with home.lock:
        monitor = home.monitor
        if monitor is None or user not in monitor.users:
            return
        monitor.users.remove(user)
        if monitor.users:
            return
        home.monitor = None
        home.unhook()
    monitor.stop()
