"""Looks at the memory once a second, and judges its history now and then.

Rules of this file: a tick reads, adds a row and publishes one immutable ``State`` by
one assignment, so readers need no lock; whatever fails in a tick is counted and the
next one comes; judging takes at most a thousandth of the time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from leakguard._core.pressure import Pressure, lowest_limit, pressure_of, worse
from leakguard._core.records import Unknown
from leakguard._core.samples import Limit, Reading, Sample
from leakguard._core.series import Series
from leakguard._core.trend import judge_lately
from leakguard._readers.process import read_usage
from leakguard._runtime.thread import DaemonThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._core.trend import Trend
    from leakguard._readers.process import Usage
    from leakguard._runtime.work_counter import WorkCounter

TICK_SECONDS = 1.0
#: Under this much pressure every quarter of a second.
FAST_TICK_SECONDS, FAST_RATIO = 0.25, 0.85
#: When nothing has moved for so many ticks and the limit is far: every four seconds.
SLOW_TICK_SECONDS, SLOW_RATIO, QUIET_TICKS = 4.0, 0.7, 120
MOVED_BYTES = 256 * 1024
#: Between two judgements at least this long, and the cost of the last one times this.
JUDGE_SECONDS, JUDGE_SHARE = 10.0, 0.001
STOP_PATIENCE_SECONDS = 5.0


class ReadsMemory(Protocol):
    """What tells the limits and the usage of this process."""

    def read(self) -> Reading:
        """Return them as they are now."""


class State(NamedTuple):
    """All that is known after a tick. ``failure`` names what failed last, and where.

    ``trend`` is ``None`` until the first judgement.
    """

    reading: Reading
    pressure: Pressure
    sample: Sample | None = None
    trend: Trend | None = None
    ticks: int = 0
    failed_ticks: int = 0
    failure: str | None = None


def nothing_known(reason: str) -> State:
    """Return the state before the first tick, or where there can be none."""
    return State(Reading(Unknown(reason)), Pressure(None, None, None, reason))


class Watcher:
    """One process's ticks, its history, and what is known of it now (``state``)."""

    def __init__(  # noqa: PLR0913 - every outside root is a parameter
        self,
        *,
        limit_bytes: int | None = None,
        heap: Callable[[], Pressure] | None = None,
        work: WorkCounter | None = None,
        judged: Callable[[Trend, tuple[Sample, ...]], None] | None = None,
        ticked: Callable[[State], float] = lambda _state: SLOW_TICK_SECONDS,
        reader: Callable[[], ReadsMemory] | None = None,
        usage: Callable[[], Usage] = read_usage,
        own_rlimits: Callable[[], tuple[str, ...]] = tuple,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Remember the options; nothing is read yet.

        ``heap`` returns how near the process is to a limit on itself; the worse of the
        two pressures counts. ``own_rlimits`` names those that are leakguard's own.

        ``judged`` is called with each new verdict and what it was made from, in the
        watcher's thread; ``ticked`` with the state after each tick, and returns how
        many seconds later the next one has to come; ``reader`` makes the reader, again
        in a forked child.
        """
        self._own = None
        if limit_bytes is not None:
            self._own = Limit(limit_bytes, "the limit given to the guard")
        self._heap, self._work = heap, work
        self._judged = judged or (lambda _trend, _samples: None)
        self._ticked = ticked
        self._make_reader = reader or (lambda: _memory_reader(own_rlimits))
        self._usage = usage
        self._clock, self._cpu_clock = clock, cpu_clock
        self.reset("not started")

    def reset(self, reason: str) -> None:
        """Forget everything, as in a forked child; the thread is not there then."""
        self.series = Series()
        self.state = nothing_known(reason)
        self._reader: ReadsMemory | None = None
        self._thread: DaemonThread | None = None
        self._judged_at = self._clock()
        self._judge_at = self._judged_at + JUDGE_SECONDS
        self._judged_limit: Limit | None = None
        self._quiet_ticks, self._quiet_bytes = 0, 0

    def start(self) -> None:
        """Begin to tick; the first tick is the caller's.

        So whatever it imports is imported when the thread begins: a fork in the
        middle of an import by a thread would lock the child out of that module.
        """
        if self._thread is None:
            self.step()
            self.run()

    def run(self) -> None:
        """Start the thread alone, or say in the state why there can be none."""
        try:
            self._thread = DaemonThread(self._loop, "leakguard-watcher")
        except Exception as error:  # noqa: BLE001 - no threads left: not our host's
            self._failed(error)

    def stop(self, patience_seconds: float = STOP_PATIENCE_SECONDS) -> None:
        """Tick no more. It may be called by the watcher's own callback."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop(patience_seconds)
        self._reader = None  # it closes its descriptors

    def step(self) -> float:
        """Tick, judge if it is time; return the seconds until the next. Never raises.

        Cost: below 200 µs, and up to 20 ms when it judges.
        """
        try:
            self.tick()
            soon = self._ticked(self.state)
            if self._is_time_to_judge():
                self.judge()
        except Exception as error:  # noqa: BLE001 - counted, and the next one comes
            self._failed(error)
            return TICK_SECONDS
        return min(soon, self._pause_seconds())

    def tick(self) -> None:
        """Read once and publish what is known now."""
        if self._reader is None:
            self._reader = self._make_reader()
        reading, used = self._reader.read(), self._usage()
        # What others on the machine use is no part of this program's history.
        group = reading if reading.is_in_container else Reading(reading.limit)
        limit = group.limit
        work = self._work.read() if self._work is not None else None
        sample = Sample(
            self._clock(),
            rss_bytes=used.rss_bytes,
            in_use_bytes=used.heap_bytes,
            python_blocks=used.python_blocks,
            cgroup_usage_bytes=group.usage_bytes,
            cgroup_inactive_file_bytes=group.inactive_file_bytes,
            cgroup_limit_bytes=limit.limit_bytes if isinstance(limit, Limit) else None,
            unreclaimable_bytes=group.unreclaimable_bytes,
            requests_total=work.finished if work else None,
            in_flight=work.in_flight if work else None,
        )
        self.series.add(sample)
        pressure = pressure_of(reading, rss_bytes=used.rss_bytes, own=self._own)
        if self._heap is not None:
            pressure = worse(pressure, self._heap())
        was = self.state
        self.state = State(
            reading,
            pressure,
            sample,
            was.trend,
            was.ticks + 1,
            was.failed_ticks,
            was.failure,
        )
        self._watch_for_quiet(pressure.unreclaimable_bytes or 0)

    def judge(self) -> None:
        """Judge the whole history and publish the verdict."""
        begun = self._cpu_clock()
        self._judged_at = self._clock()
        self._judge_at = self._judged_at + JUDGE_SECONDS
        limit, used_bytes = self._limit()
        samples = self.series.samples()
        trend = judge_lately(
            samples,
            limit_bytes=limit.limit_bytes if limit else None,
            used_bytes=used_bytes,
        )
        self._judged_limit = limit
        self.state = self.state._replace(trend=trend)
        self._judged(trend, samples)
        cost = self._cpu_clock() - begun
        self._judge_at = self._judged_at + max(JUDGE_SECONDS, cost / JUDGE_SHARE)

    def _is_time_to_judge(self) -> bool:
        """Return whether the last verdict is old, or its limit no longer in force."""
        now = self._clock()
        if now >= self._judge_at or now < self._judged_at + JUDGE_SECONDS:
            return now >= self._judge_at
        return self._limit()[0] != self._judged_limit

    def _limit(self) -> tuple[Limit | None, int | None]:
        """Return the lowest limit on this process and what is used of it.

        Swap that is free delays the day, and makes the pressure no lower.
        """
        sample, reading = self.state.sample, self.state.reading
        rss_bytes = sample.rss_bytes if sample is not None else None
        limit, used = lowest_limit(reading, rss_bytes=rss_bytes, own=self._own)
        return limit, None if used is None else used - (reading.swap_free_bytes or 0)

    def _pause_seconds(self) -> float:
        ratio = self.state.pressure.ratio or 0.0
        if ratio >= FAST_RATIO:
            return FAST_TICK_SECONDS
        if ratio < SLOW_RATIO and self._quiet_ticks >= QUIET_TICKS:
            return SLOW_TICK_SECONDS
        return TICK_SECONDS

    def _watch_for_quiet(self, now_bytes: int) -> None:
        if abs(now_bytes - self._quiet_bytes) < MOVED_BYTES:
            self._quiet_ticks += 1
        else:
            self._quiet_ticks, self._quiet_bytes = 0, now_bytes

    def _failed(self, error: Exception) -> None:
        was = self.state
        self.state = was._replace(
            failed_ticks=was.failed_ticks + 1, failure=type(error).__name__
        )

    def _loop(self, thread: DaemonThread) -> None:
        pause = 0.0 if self.state.ticks == 0 else TICK_SECONDS
        while not thread.wait(pause):
            try:
                pause = self.step()
            except MemoryError:  # noqa: PERF203 - even for noting that there is none
                pause = TICK_SECONDS


def _memory_reader(own_rlimits: Callable[[], tuple[str, ...]]) -> ReadsMemory:
    from leakguard._readers.limits import MemoryReader

    return MemoryReader(ignores=own_rlimits)
