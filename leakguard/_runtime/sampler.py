"""Short windows onto a program that runs by itself, inside an overhead budget.

A daemon thread opens newborn windows of different lengths, rests in proportion, and
looks once at depth when lines grow. Nothing of it reaches the program: a window that
is refused or fails is counted and the next one comes later.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from leakguard._core.evidence import NO_LOOK, gather
from leakguard._core.judge import acquitted_verdict
from leakguard._core.overhead import LOST_SHARE
from leakguard._core.rates import Burst, Total, judge_run, rate_rows
from leakguard._core.records import Cost
from leakguard._core.suspects import accuse, fastest_held, split_bounded
from leakguard._readers.config import NO_CONFIG
from leakguard._readers.process import (
    collects_automatically,
    leave_signals_to_main,
    read_counters,
)
from leakguard._readers.source import SourceMap
from leakguard._runtime.depth import look_deep
from leakguard._runtime.reporting import build_report
from leakguard._runtime.window import newborn_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._core.evidence import DeepLook
    from leakguard._core.records import Report
    from leakguard._readers.config import Config

_log = logging.getLogger("leakguard")

#: Lengths of a cycle of windows in seconds. They differ, since the slope over their
#: lengths tells a leak from what is in flight.
WINDOW_SECONDS = (0.2, 0.8, 0.4, 1.6)
#: The first cycle is an eighth as long, so that short programs get an answer.
FIRST_CYCLE_SCALE = 0.125
DEPTH_FRAMES = 32
DEPTH_SECONDS = 0.2
_DEPTH_SEARCH_SECONDS = 2.0
_TICK_SECONDS = 0.25
#: Windows and totals kept; when full, every second total is dropped.
_KEPT_BURSTS = 24
_KEPT_TOTALS = 512


class Sampler:
    """Watches its own process from a daemon thread until stopped."""

    def __init__(
        self,
        *,
        budget: float = 0.05,
        app_root: str | None = None,
        config: Config = NO_CONFIG,
        window_seconds: tuple[float, ...] = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember the options; nothing runs yet.

        ``budget`` is the share of its speed that the program may lose; ``config`` the
        project's settings.
        """
        self._budget = budget
        self._app_root = app_root
        self._config = config
        self._lengths = window_seconds
        self._clock = clock
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._bursts: tuple[Burst, ...] = ()
        self._totals: tuple[Total, ...] = ()
        self._deep: DeepLook | None = None
        self._lost_seconds = 0.0
        self._longest_pause_seconds = 0.0
        self._started_at = clock()

    def start(self) -> None:
        """Begin to look, unless it does already."""
        if self._thread is not None:
            return
        self._started_at = self._clock()
        self._thread = threading.Thread(
            target=self._run, name="leakguard-sampler", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Look no more; an open window is closed first."""
        self._stopped.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=max(self._lengths) + _DEPTH_SEARCH_SECONDS)
        self._count_totals()

    def report(self) -> Report:
        """Return what is known now. Reads sources; takes some milliseconds."""
        sources = SourceMap(self._app_root)
        names = sources.names()
        bursts, totals, deep = self._bursts, self._totals, self._deep or NO_LOOK
        rows = rate_rows(bursts)
        growths = gather(rows, deep, sources.in_app)
        seconds = self._clock() - self._started_at
        guilty, acquitted = split_bounded(
            growths, names, work_done=deep.work_done, seconds=seconds
        )
        suspects = accuse(
            guilty, names, held=fastest_held(growths), seconds_per_call=None
        )
        verdict = judge_run(bursts, totals, suspects)
        if verdict.kind != "leak":
            suspects = ()
            if verdict.kind == "steady" and acquitted:
                verdict = acquitted_verdict(acquitted, f"{seconds:.0f} seconds")
        cost = Cost(
            self._lost_seconds / seconds if seconds else None,
            self._longest_pause_seconds,
            len(bursts),
            seconds,
        )
        return build_report(
            "run", verdict, suspects, tuple(acquitted), cost, config=self._config
        )

    def _run(self) -> None:
        leave_signals_to_main()
        cycle = 0
        while not self._stopped.is_set():
            scale = FIRST_CYCLE_SCALE if cycle == 0 else 1.0
            for length in self._lengths:
                if not self._can_pay(length * scale * LOST_SHARE):
                    return
                self._guarded(partial(self._look, length * scale))
            cycle += 1
            if self._deep is None and rate_rows(self._bursts):
                if not self._can_pay(2 * DEPTH_SECONDS):
                    return
                self._guarded(self._look_deep)

    def _guarded(self, look: Callable[[], None]) -> None:
        """Run a look; whatever goes wrong stays here and costs one window."""
        try:
            look()
        except Exception as error:  # noqa: BLE001 - never the program's trouble
            _log.debug("a window failed: %s", error)
            self._lost_seconds += _TICK_SECONDS

    def _can_pay(self, seconds: float) -> bool:
        """Wait until a look that costs ``seconds`` is paid for; false when stopped."""
        while not self._stopped.is_set():
            self._count_totals()
            elapsed = self._clock() - self._started_at
            if self._lost_seconds + seconds <= elapsed * self._budget:
                return True
            self._stopped.wait(_TICK_SECONDS)
        return False

    def _look(self, length: float) -> None:
        begun = self._clock()
        with newborn_window() as window:
            opened = self._clock()
            self._stopped.wait(length)
            seconds = self._clock() - opened
            if collects_automatically():
                gc.collect()
            traces = window.read_traces()
        self._longest_pause_seconds = max(
            self._longest_pause_seconds, window.longest_pause_seconds
        )
        burst = Burst(begun - self._started_at, seconds, traces.by_frame())
        self._bursts = (*self._bursts, burst)[-_KEPT_BURSTS:]
        self._lost_seconds += seconds * LOST_SHARE + (self._clock() - opened - seconds)

    def _look_deep(self) -> None:
        begun = self._clock()

        def wait() -> float:
            opened = self._clock()
            self._stopped.wait(DEPTH_SECONDS)
            return self._clock() - opened

        self._deep = look_deep(
            wait,
            rate_rows(self._bursts),
            nframe=DEPTH_FRAMES,
            search_seconds=_DEPTH_SEARCH_SECONDS,
        )
        self._lost_seconds += self._clock() - begun

    def _count_totals(self) -> None:
        counters = read_counters()
        total = Total(
            self._clock() - self._started_at,
            counters.python_blocks,
            counters.heap_bytes,
        )
        totals = (*self._totals, total)
        self._totals = totals if len(totals) < _KEPT_TOTALS else totals[::2]
