"""Looks for the lines that grow, when asked or when the trend turns suspicious.

A thread that lives only as long as the investigation opens newborn windows of
different lengths, rests in proportion to what they were *measured* to cost, and looks
once at depth. Rules of this file: no window while nothing is suspicious; what goes
wrong in a window stays here and costs one window; bounded findings.

Tracing is toggled rarely: about ten times per investigation, and investigations that
start by themselves lie ten minutes apart, then twenty, up to an hour. For CPython
before 3.13 loses 28 bytes per distinct stack and window (12 more for each further
frame at depth) whenever tracing stops: some 0.5 MB an investigation in a Flask app.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from dataclasses import replace
from functools import partial
from heapq import nlargest
from typing import TYPE_CHECKING

from leakguard._core.findings import Findings, Look
from leakguard._core.overhead import LOST_SHARE, Span, lost_seconds
from leakguard._core.records import Cost
from leakguard._readers.process import collects_automatically, waiting_seconds
from leakguard._readers.threads import native
from leakguard._runtime.depth import look_deep
from leakguard._runtime.places import WALK_SECONDS
from leakguard._runtime.thread import DaemonThread
from leakguard._runtime.window import newborn_window, settle_tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from leakguard._core.evidence import DeepLook
    from leakguard._core.observe import GrowthRow
    from leakguard._core.records import Frame
    from leakguard._runtime.places import Places
    from leakguard._runtime.work_counter import WorkCounter

_log = logging.getLogger("leakguard")

#: Lengths of a cycle of windows; they differ, for growth is a slope over them.
WINDOW_SECONDS = (0.2, 0.8, 0.4, 1.6)
#: How many times as long each further cycle is: an answer soon, then slower leaks.
CYCLE_SCALES = (0.125, 1.0, 2.0, 4.0)
#: A look that holds the GIL for longer makes the next window shorter, down to a share.
PAUSE_SECONDS, LEAST_PACE = 0.025, 1 / 16
DEPTH_FRAMES = 32
DEPTH_SECONDS, SEARCH_SECONDS = 0.2, 2.0
#: What the search for holders is allowed in a smaller heap: 2 s from 1 M blocks on.
_SEARCH_PER_BLOCK = 2e-6
#: Enough windows when lines grow and were looked at in depth; and when none does.
ENOUGH_WINDOWS, ENOUGH_QUIET_WINDOWS = 8, 16
#: An investigation of its own accord ends after this long, and rests before the next.
MOST_SECONDS = 360.0
REST_SECONDS, MOST_REST_SECONDS = 600.0, 3600.0
#: What is kept: windows, sites of each window, stacks of the look at depth.
KEPT_LOOKS, KEPT_SITES, KEPT_STACKS = 12, 128, 100
_POLL_SECONDS = 0.25
#: Share of the budget for what is measured of a look. The rest is for what is not: cold
#: caches after it, and the requests that are counted by their routes meanwhile.
MEASURED_SHARE = 0.8
#: Takes part in the price of windows until there were some.
_PRIOR_SECONDS = 0.1
STOP_PATIENCE_SECONDS = 8.0


class Investigation:
    """One process's investigations, one at a time, in a thread of their own."""

    def __init__(  # noqa: PLR0913 - every outside root is a parameter
        self,
        *,
        work: WorkCounter,
        budget: float = 0.05,
        found: Callable[[], None] = lambda: None,
        has_room: Callable[[], bool] = lambda: True,
        places: Places | None = None,
        window_seconds: tuple[float, ...] = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
        waiting: Callable[[], float] = waiting_seconds,
    ) -> None:
        """Remember the options; nothing runs yet.

        ``budget`` is the share of its speed that the program may lose while it lasts;
        ``found`` is called in the thread after each cycle of windows; while
        ``has_room()`` is false none is opened, for evidence takes memory, too;
        ``places`` are looked for once in each investigation, beside its windows.
        """
        self._work = work
        self._budget = budget
        self._tell_found, self._has_room = found, has_room
        self._places = places
        self._lengths = window_seconds
        self._clock, self._cpu_clock, self._waiting = clock, cpu_clock, waiting
        self.reset()

    def reset(self) -> None:
        """Forget everything, as in a forked child; the thread is not there then."""
        self._lock = native("_thread", "allocate_lock")()
        self._thread: DaemonThread | None = None
        self._asked_until = self._suspected_until = self._rest_until = float("-inf")
        self._rest_seconds = REST_SECONDS
        self._longest_pause_seconds = 0.0
        self._work.by_route = False
        self._found = self._before = Findings()
        self._begin()

    @property
    def running(self) -> bool:
        """Whether windows are being opened now."""
        return self._thread is not None

    def findings(self) -> Findings:
        """Return what is known: of this investigation, or still of the last one."""
        return self._before if self._before.looks else self._found

    def cost(self) -> Cost:
        """Return what the last investigation cost, as measured."""
        found = self._found
        seconds, available = found.span.seconds, found.span.available_seconds
        return Cost(
            self._lost_seconds / available if available > 0 else None,
            self._longest_pause_seconds if found.looks else None,
            self._windows,
            seconds,
        )

    def ask(self, seconds: float) -> None:
        """Investigate for at least so long from now."""
        self._asked_until = self._clock() + seconds
        self._ensure()

    def suspect(self) -> None:
        """Investigate because memory grows, unless that was done not long ago."""
        now = self._clock()
        if self._thread is None and now >= self._rest_until:
            self._suspected_until = now + MOST_SECONDS
            self._rest_until = now + self._rest_seconds
            self._rest_seconds = min(2 * self._rest_seconds, MOST_REST_SECONDS)
            self._ensure()

    def stop(self, patience_seconds: float = STOP_PATIENCE_SECONDS) -> None:
        """End it; an open window is closed first."""
        self._asked_until = self._suspected_until = float("-inf")
        thread = self._thread
        if thread is not None:
            thread.stop(patience_seconds)
        settle_tracing()

    def _ensure(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            try:
                self._thread = DaemonThread(self._run, "leakguard-investigation")
            except RuntimeError as error:  # no more threads: not our host's trouble
                _log.warning("no investigation: %s", error)

    def _begin(self) -> None:
        if self._found.looks:
            self._before = self._found
        self._found = Findings()
        self._rows: Sequence[GrowthRow] = ()
        self._windows, self._pace = 0, 1.0
        self._has_walked = False
        self._lost_seconds = 0.0
        self._traced = Span(_PRIOR_SECONDS, _PRIOR_SECONDS * LOST_SHARE)
        self._outside = Span()
        self._begun = self._mark = self._now()

    def _run(self, thread: DaemonThread) -> None:
        self._work.by_route = True
        try:
            self._begin()
            cycle = 0
            while not self._is_over(thread):
                self._cycle(thread, CYCLE_SCALES[min(cycle, len(CYCLE_SCALES) - 1)])
                self._follow(thread)
                self._paid(thread, self._tell_found)
                cycle += 1
        finally:
            if self._thread is thread:
                self._thread = None
            self._work.by_route = self._thread is not None

    def _is_over(self, thread: DaemonThread) -> bool:
        """Return whether to end now; then a new request starts a thread of its own."""
        with self._lock:
            over = not self._goes_on(thread)
            if over:
                self._thread = None
            return over

    def _goes_on(self, thread: DaemonThread) -> bool:
        now = self._clock()
        wanted = now < self._suspected_until and not self._is_enough()
        return not thread.stopping and (wanted or now < self._asked_until)

    def _is_enough(self) -> bool:
        if self._rows:
            return self._windows >= ENOUGH_WINDOWS and self._found.deep is not None
        return self._windows >= ENOUGH_QUIET_WINDOWS

    def _cycle(self, thread: DaemonThread, scale: float) -> None:
        for length in self._lengths:
            seconds = length * scale * self._pace
            if not self._can_pay(thread, seconds * self._price()):
                return
            self._paid(thread, partial(self._look, thread, seconds))
        self._rows = self._found.rows()
        if self._rows or self._windows >= ENOUGH_WINDOWS:
            self._before = Findings()
        if not self._rows or self._found.deep is not None:
            return
        search = min(SEARCH_SECONDS, sys.getallocatedblocks() * _SEARCH_PER_BLOCK)
        if self._can_pay(thread, DEPTH_SECONDS + search):
            self._paid(thread, partial(self._look_deep, thread, search))

    def _follow(self, thread: DaemonThread) -> None:
        """Look at the containers by name; before the first look they are found."""
        places = self._places
        if places is None:
            return
        if self._has_walked:
            self._paid(thread, places.look)
        elif self._can_pay(thread, WALK_SECONDS):
            self._has_walked = True
            self._paid(
                thread, lambda: places.walk(lambda: thread.stopping, thread.wait)
            )

    def _price(self) -> float:
        """Return the seconds lost per second of window, as measured so far."""
        return self._traced.cpu_seconds / self._traced.seconds

    def _can_pay(self, thread: DaemonThread, seconds: float) -> bool:
        """Wait until so much may be lost; false when the investigation is over."""
        while self._goes_on(thread):
            span = self._now().since(self._begun)
            self._found = replace(self._found, span=span)
            income = span.available_seconds * self._budget * MEASURED_SHARE
            if self._lost_seconds + seconds <= income and self._has_room():
                return True
            thread.wait(_POLL_SECONDS)
        return False

    def _paid(self, thread: DaemonThread, look: Callable[[], None]) -> None:
        """Do it and note what it cost; whatever goes wrong costs one window."""
        before = self._now()
        self._outside = self._outside.plus(before.since(self._mark))
        try:
            look()
        except Exception as error:  # noqa: BLE001 - never the program's trouble
            _log.debug("a window failed: %s", error)
            thread.wait(_POLL_SECONDS)
        self._mark = self._now()
        inside = self._mark.since(before)
        lost = lost_seconds(inside, self._outside)
        self._lost_seconds += lost
        self._traced = self._traced.plus(Span(inside.seconds, lost))
        self._found = replace(self._found, span=self._mark.since(self._begun))

    def _look(self, thread: DaemonThread, seconds: float) -> None:
        with newborn_window() as window:
            opened, routes = self._now(), self._work.read_routes()
            thread.wait(seconds)
            span = self._now().since(opened)
            if collects_automatically():
                gc.collect()
            sites = window.read_traces().by_frame()
        now = self._work.read_routes()
        look = Look(
            opened.seconds - self._begun.seconds,
            span.seconds,
            span.work,
            _most(sites),
            {route: n - routes.get(route, 0) for route, n in now.items()},
        )
        looks = (*self._found.looks, look)[-KEPT_LOOKS:]
        self._found = replace(self._found, looks=looks)
        self._windows += 1
        self._note_pause(window.longest_pause_seconds)

    def _note_pause(self, seconds: float) -> None:
        self._longest_pause_seconds = max(self._longest_pause_seconds, seconds)
        share = PAUSE_SECONDS / max(seconds, PAUSE_SECONDS / 2)
        self._pace = min(1.0, max(LEAST_PACE, self._pace * share))

    def _look_deep(self, thread: DaemonThread, search_seconds: float) -> None:
        rows, spans = self._rows, list[Span]()

        def wait() -> float:
            opened = self._now()
            thread.wait(DEPTH_SECONDS * self._pace)
            spans.append(self._now().since(opened))
            return 0.0

        deep = look_deep(wait, rows, nframe=DEPTH_FRAMES, search_seconds=search_seconds)
        kept = _trimmed(deep, frozenset(row.frame for row in rows))
        self._found = replace(self._found, deep=kept, deep_span=spans[0])

    def _now(self) -> Span:
        work = self._work.read()
        return Span(
            self._clock(),
            self._cpu_clock(),
            None if work is None else work.finished,
            self._waiting(),
        )


def _most(
    sites: Mapping[Frame, tuple[int, int]],
) -> dict[Frame, tuple[int, int]]:
    """Return the sites that hold most: what is kept of a window is bounded."""
    return dict(nlargest(KEPT_SITES, sites.items(), key=lambda item: item[1]))


def _trimmed(deep: DeepLook, frames: frozenset[Frame]) -> DeepLook:
    ours = [item for item in deep.survivors.items() if item[0][0] in frames]
    survivors = dict(nlargest(KEPT_STACKS, ours, key=lambda item: item[1]))
    return replace(
        deep,
        survivors=survivors,
        vanished=deep.vanished.intersection(survivors),
        types={stack: deep.types[stack] for stack in survivors if stack in deep.types},
    )
