"""What people ask of this process while it serves: how often, and one at a time.

Rules of this file: an investigation has a thread of its own, and whoever asks for it
does not wait; what other workers should know is posted on the board after a tick, in
the watcher's thread; a forked child begins with nothing under way.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from leakguard._core.access import Bucket, take
from leakguard._core.records import Unknown
from leakguard._readers.threads import native
from leakguard._runtime.baselines import Baselines
from leakguard._runtime.monitor import process
from leakguard._runtime.thread import DaemonThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard._core.records import Report
    from leakguard._runtime.board import Board
    from leakguard._runtime.monitor import Monitor

#: How often a worker posts its state for the others.
POST_SECONDS: Final = 5.0
#: What may be asked at once and then per second: of all questions, of the heavy ones.
ALL, HEAVY = Bucket(20, 5.0), Bucket(5, 0.5)
STATE, REPORT, _BASELINE = "state", "report", "baseline-"
_POLL_SECONDS: Final = 0.1
#: Longer than it takes to count a large heap.
_COUNT_SECONDS: Final = 2.0


class Inquiries:
    """What was asked of this process. Any thread may ask."""

    def __init__(
        self,
        board: Board,
        *,
        state: Callable[[Monitor], str],
        report: Callable[[Report], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember how to write a worker's state and its report; nothing is posted."""
        self.board = board
        self.baselines = Baselines(clock=clock)
        self._state, self._report, self._clock = state, report, clock
        self._buckets = {False: ALL, True: HEAVY}
        self._under_way: dict[int, object] = {}
        self._post_at = -math.inf
        self._counting = native("_thread", "allocate_lock")()

    def wait_seconds(self, *, is_heavy: bool) -> float:
        """Return 0 for what may be asked now, or how long to wait."""
        self._buckets[is_heavy], wait = take(self._buckets[is_heavy], self._clock())
        return wait

    def attach(self) -> None:
        """Post this worker's state now and then, for as long as it is watched."""
        monitor = process().monitor
        if monitor is not None and self.tick not in monitor.listeners:
            monitor.listeners.append(self.tick)

    def tick(self, monitor: Monitor) -> None:
        """Post what the others should know, and count what they want counted.

        Cost: some 0.5 ms, every five seconds.
        """
        now = self._clock()
        if now < self._post_at:
            return
        self._post_at = now + POST_SECONDS
        self.board.post(STATE, self._state(monitor))
        for what, age_seconds in self.board.wanted().items():
            name = what.removeprefix(_BASELINE)
            if name != what:
                self._set_if_older(name, age_seconds)

    def set_baseline(self, name: str) -> None:
        """Count what lives in this worker, and soon in all others.

        Raises:
            LeakguardError: an investigation has the heap out of sight for a moment.

        """
        self.board.want(f"{_BASELINE}{name}")
        with self._one_at_a_time():
            self.baselines.set(name)

    def _set_if_older(self, name: str, age_seconds: float) -> None:
        with self._one_at_a_time():
            known = self.baselines.age_seconds(name)
            if known is None or known > age_seconds:
                self.baselines.set(name)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Wait for a count that is under way, but not for one of before a fork."""
        locked = self._counting.acquire(timeout=_COUNT_SECONDS)
        try:
            yield
        finally:
            if locked:
                self._counting.release()

    def investigate(self, seconds: float) -> Unknown | None:
        """Look for growing lines for so long, and post the report; return why not.

        It goes on in a thread: this returns at once.
        """
        monitor, pid = process().monitor, os.getpid()
        looking = monitor.investigation if monitor is not None else None
        if monitor is None or looking is None:
            return Unknown("no guard watches this process")
        mine = object()
        # By process: what is under way when it forks is the parent's.
        if self._under_way.setdefault(pid, mine) is not mine:
            return Unknown("an investigation is under way already")

        def run(thread: DaemonThread) -> None:
            try:
                looking.ask(seconds)
                until = time.monotonic() + seconds
                while looking.running and time.monotonic() < until:
                    thread.wait(_POLL_SECONDS)
                self.board.post(REPORT, self._report(monitor.report()))
            finally:
                self._under_way.pop(pid, None)

        try:
            DaemonThread(run, "leakguard-inquiry")
        except RuntimeError:
            self._under_way.pop(pid, None)
            return Unknown("there can be no more threads")
        return None
