"""Run a piece of work again and again, and say whether it leaks, where and why.

One newborn window stays open over all calls: everything alive before is frozen out
of sight, everything born since is traced, so what the work frees of its own is seen
to go. Looks are taken at geometrically growing call counts, because a bounded thing
must slow down as the calls double and a leak must not. A second, short window at
depth then shows who allocated and who holds.
"""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from leakguard._core.conclusion import Conclusion, conclude
from leakguard._core.judge import Limits, Picture, files_kept, is_enough, picture_of
from leakguard._core.native import culprit_of
from leakguard._core.observe import Checkpoint
from leakguard._core.records import Cost, Unknown
from leakguard._core.suspects import accuse_native
from leakguard._readers.process import (
    available_bytes,
    collects_automatically,
    most_open_files,
    read_counters,
    trim_heap,
)
from leakguard._readers.search import PAUSE_SECONDS
from leakguard._runtime import work
from leakguard._runtime.c_calls import watch_calls
from leakguard._runtime.depth import calls_wanted, look_deep
from leakguard._runtime.window import newborn_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from leakguard._core.evidence import DeepLook
    from leakguard._readers.source import SourceMap
    from leakguard._runtime.window import Window

#: Each look comes after this many times the calls of the look before.
STRIDE = 1.35
#: Looks never lie further apart than this, so that the time budget is kept.
MOST_SECONDS_BETWEEN_LOOKS = 2.0
#: Share of the time budget kept for the window at depth.
DEPTH_SHARE = 0.25
#: Share of that for the calls; the rest is for the search of holders.
DEPTH_WORK_SHARE = 0.6
#: Frames per trace at depth: enough to reach the application under a framework.
DEPTH_FRAMES = 48
#: The search for holders gets this long even when the time is up: without it
#: nothing can be acquitted.
LEAST_SEARCH_SECONDS = 4.0
#: Most memory the work may leak while it is watched, and share of what is free.
MOST_GROWN_BYTES = 256 * 1024 * 1024
GROWN_SHARE_OF_AVAILABLE = 0.25
#: Files that stay open per call, from which it is counted on that they run out.
_LEAST_FILE_RATE = 0.01
#: Other threads get this long for what the calls at depth have left them to do.
_BACKGROUND_SECONDS = 0.2
#: Calls, and seconds, in which each call into C is looked at.
NATIVE_CALLS, NATIVE_SECONDS = 60, 5.0
#: Calls before the first look: imports, first-use caches, lazy singletons.
WARM_UP_CALLS = 2


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a diagnosis found and what it cost, before it becomes a report."""

    found: Conclusion
    cost: Cost


def diagnose_work(  # noqa: PLR0913 - one call, its options spelled out
    function: Callable[..., Any],
    sources: SourceMap,
    *,
    calls: int | None,
    nframe: int | None,
    seconds: float,
    pause_seconds: float = PAUSE_SECONDS,
    progress: Callable[[str], None] | None = None,
    looked: Callable[[int], None] = lambda _calls: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Diagnosis:
    """Run ``function`` until it is clear whether and where it leaks.

    ``pause_seconds`` is the longest that the search for holders stops other threads.
    ``looked`` is called with the calls made, at each look.

    Raises:
        WorkFailed: ``function`` raised; everything is restored.

    """
    started = clock()
    tell = progress or (lambda _text: None)
    subject = work.Work(function, clock)
    with ExitStack() as stack:
        stack.callback(subject.close)
        subject.run(min(WARM_UP_CALLS, calls or WARM_UP_CALLS))
        limits = _limits(calls, seconds)
        looks, picture = _watch(subject, limits, calls, clock, tell, looked)
        deep, goal = None, _depth_calls(picture, looks, calls, subject.calls)
        if goal:
            tell("looking at who holds it")
            left = max(1.0, seconds - (clock() - started))
            deep = _look_deep(
                subject, picture, goal, nframe, left, pause_seconds, clock
            )
        found = concluded(subject, sources, looks, picture, deep, _trimmed_bytes)
        if any(suspect.pattern == "native" for suspect in found.suspects):
            tell("looking at what it calls")
            found = _name_call(subject, found, calls, sources, clock)
    return Diagnosis(found, _cost(looks, deep, clock() - started))


def concluded(  # noqa: PLR0913 - everything that was seen, once
    subject: work.Work,
    sources: SourceMap,
    looks: Sequence[Checkpoint],
    picture: Picture,
    deep: DeepLook | None,
    trim: Callable[[], int | None] = lambda: None,
) -> Conclusion:
    """Return what was found of a subject; see ``conclude``."""
    return conclude(
        looks,
        picture,
        deep,
        sources.names(),
        seconds=subject.seconds,
        calls=subject.calls,
        trim=trim,
    )


def _cost(looks: Sequence[Checkpoint], deep: DeepLook | None, seconds: float) -> Cost:
    pause = max((look.pause_seconds for look in looks), default=None)
    windows = len(looks) + (1 if deep else 0)
    return Cost(None, pause, windows, seconds)


def _limits(calls: int | None, seconds: float) -> Limits:
    free = available_bytes()
    grown = MOST_GROWN_BYTES
    if free is not None:
        grown = min(grown, int(free * GROWN_SHARE_OF_AVAILABLE))
    watched = None
    if calls is not None:
        watched = max(1, calls - WARM_UP_CALLS - int(calls * DEPTH_SHARE))
    return Limits(seconds * (1 - DEPTH_SHARE), watched, grown, more_files=_more_files())


def _more_files() -> int | None:
    """Return how many files the work may keep open: half of those there may be."""
    most, already = most_open_files(), read_counters().open_files
    if most is None or already is None:
        return None
    return max(1, (most - already) // 2)


def _grows(picture: Picture) -> bool:
    return bool(picture.steady_rows or picture.open_rows)


def _grows_natively(picture: Picture) -> bool:
    return picture.native is not None and picture.native.shape == "linear"


def _depth_calls(
    picture: Picture, looks: Sequence[Checkpoint], calls: int | None, made: int
) -> int:
    """Return how many calls to look at in depth; none where nothing grows."""
    if not _grows(picture):
        return 0
    wanted = calls_wanted(picture)
    if looks[-1].calls * _LEAST_FILE_RATE < files_kept(looks):
        wanted = min(wanted, looks[-1].calls // 3)  # there is room for these
    return wanted if calls is None else min(wanted, calls - made)


def _watch(  # noqa: PLR0913 - one watch, its options spelled out
    subject: work.Work,
    limits: Limits,
    calls: int | None,
    clock: Callable[[], float],
    tell: Callable[[str], None],
    looked: Callable[[int], None],
) -> tuple[list[Checkpoint], Picture]:
    """Look at growing call counts until more calls would teach nothing."""
    looks: list[Checkpoint] = []
    with newborn_window(keep=work.OWN_FILE) as window:
        started, first = clock(), subject.calls
        goal = 1
        while True:
            done = subject.calls - first
            until = clock() + MOST_SECONDS_BETWEEN_LOOKS
            subject.run(max(1, goal - done), min(until, started + limits.seconds))
            done = subject.calls - first
            looks.append(_look(window, done, clock() - started, clock))
            looked(done)
            picture = picture_of(looks)
            if is_enough(looks, picture, limits):
                spare = (calls or 0) - subject.calls
                grows = _grows(picture) or _grows_natively(picture)
                if spare <= 0 or done < (limits.calls or 0) or grows:
                    return looks, picture
                # nothing to look at in depth: the calls kept for that are made here
                limits = replace(limits, calls=done + spare)
            tell(_progress_line(picture, clock() - started))
            goal = max(done + 1, int(done * STRIDE))
            if limits.calls is not None:
                goal = min(goal, limits.calls)


def _look(
    window: Window, calls: int, seconds: float, clock: Callable[[], float]
) -> Checkpoint:
    begun = clock()
    if collects_automatically():
        gc.collect()
    counters = read_counters()
    traced = tracemalloc.get_traced_memory()[0]
    traces = window.read_traces()
    return Checkpoint(
        calls=calls,
        seconds=seconds,
        sites=traces.by_frame(),
        traced_bytes=traced,
        traces=traces.total_count,
        python_blocks=counters.python_blocks,
        heap_bytes=counters.heap_bytes,
        rss_bytes=counters.rss_bytes,
        pause_seconds=clock() - begun,
        threads=counters.threads,
        open_files=counters.open_files,
        exit_callbacks=counters.exit_callbacks,
    )


def _look_deep(  # noqa: PLR0913 - one look, its options spelled out
    subject: work.Work,
    picture: Picture,
    goal: int,
    nframe: int | None,
    seconds: float,
    pause_seconds: float,
    clock: Callable[[], float],
) -> DeepLook:
    until = clock() + seconds * DEPTH_WORK_SHARE

    def run() -> float:
        done = subject.run(goal, until)
        if threading.active_count() > 1:
            time.sleep(min(_BACKGROUND_SECONDS, max(0.0, until - clock())))
        return done

    return look_deep(
        run,
        picture.rows,
        nframe=nframe or DEPTH_FRAMES,
        search_seconds=max(LEAST_SEARCH_SECONDS, seconds * (1 - DEPTH_WORK_SHARE)),
        pause_seconds=pause_seconds,
        exact=True,
        keep=work.OWN_FILE,
    )


def _name_call(
    subject: work.Work,
    found: Conclusion,
    calls: int | None,
    sources: SourceMap,
    clock: Callable[[], float],
) -> Conclusion:
    """Look which call into C takes the memory, and name it where it can be told."""
    most = NATIVE_CALLS if calls is None else calls - subject.calls
    rate = found.verdict.growth_bytes_per_call or 0.0
    until = clock() + NATIVE_SECONDS
    kept = watch_calls(lambda: subject.run(most, until))
    if isinstance(kept, Unknown):
        return found
    culprit = culprit_of(kept.sizes, kept.stacks, kept.calls, rate, sources.called_at)
    suspect = accuse_native(found.verdict, culprit, sources.names())
    return replace(found, suspects=(suspect,))


def _trimmed_bytes() -> int | None:
    before = read_counters().rss_bytes
    if before is None or not trim_heap():
        return None
    after = read_counters().rss_bytes
    return None if after is None else before - after


def _progress_line(picture: Picture, seconds: float) -> str:
    growing = len(picture.steady_rows)
    lines = "line" if growing == 1 else "lines"
    found = f", {growing} {lines} growing" if growing else ""
    return f"{picture.calls} calls in {seconds:.0f} s{found}"
