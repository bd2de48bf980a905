"""Call a test again and again for about a second, and say whether each call grows.

The short form of a diagnosis: one newborn window over geometrically growing call
counts, and only where growth per call goes on a second, short one at depth. Rules of
this file: what the looks themselves keep, and what a test runner keeps of each call,
is not counted; the search for holders is never cut short, since a holder with a bound
acquits.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from leakguard._core.foreign import (
    is_held_by_coverage,
    kept_by_coverage,
    without_coverage,
    without_foreign,
)
from leakguard._core.judge import LEAST_CALLS
from leakguard._core.observe import Checkpoint
from leakguard._core.records import GUILTY, Cost
from leakguard._core.trial import (
    GROWTH_KINDS,
    Terms,
    Witness,
    goes_on,
    is_over,
    is_proven,
    is_suspicious,
    is_undecided,
    next_goal,
    seen_so_far,
    stopped,
    time_for,
    undecided,
)
from leakguard._readers.process import (
    available_bytes,
    collects_automatically,
    read_counters,
)
from leakguard._readers.tracing import overhead_bytes
from leakguard._runtime import work
from leakguard._runtime.depth import calls_wanted, look_deep
from leakguard._runtime.diagnosis import concluded
from leakguard._runtime.keepsakes import Keepsakes
from leakguard._runtime.window import newborn_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._core.conclusion import Conclusion
    from leakguard._core.evidence import DeepLook
    from leakguard._core.judge import Picture
    from leakguard._core.records import Suspect
    from leakguard._readers.process import Counters
    from leakguard._readers.source import SourceMap
    from leakguard._runtime.window import Window

#: Calls before the first look: imports, first-use caches, lazy singletons.
WARM_UP_CALLS = 3
#: A leaking test may cost so much memory, and no more than this share of what is free.
MOST_GROWN_BYTES, GROWN_SHARE_OF_AVAILABLE = 48 << 20, 0.1
DEPTH_FRAMES = 48
#: The calls at depth may take this share of the seconds; the search as long as here.
DEPTH_SHARE, SEARCH_SECONDS = 0.5, 4.0
#: So many are made however long they take: beside fewer, anything else is growth.
LEAST_DEEP_CALLS = 8


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial found; ``fails`` says that growth per call exceeds what is allowed.

    ``calls`` counts the looked-at calls, without warm-up.
    """

    found: Conclusion
    cost: Cost
    calls: int
    fails: bool


def try_work(  # noqa: PLR0913 - one trial, its options spelled out
    subject: work.Work,
    sources: SourceMap,
    *,
    allowed_bytes_per_call: float,
    calls: int | None = None,
    warm_up: int = WARM_UP_CALLS,
    seconds: float = 1.0,
    kinds: tuple[str, ...] = GROWTH_KINDS,
    is_foreign: Callable[[Suspect], bool] = is_held_by_coverage,
    clock: Callable[[], float] = time.perf_counter,
) -> Trial:
    """Run the subject until it is clear whether it grows by more than is allowed.

    What ``is_foreign`` is the growth of who calls the work or measures it.

    Raises:
        WorkFailed: the work raised; everything is restored.
        WindowRefused: another window is open in this process.

    """
    started = clock()
    keepsakes = Keepsakes()
    subject.run(warm_up)
    grown = int((available_bytes() or MOST_GROWN_BYTES) * GROWN_SHARE_OF_AVAILABLE)
    most = min(MOST_GROWN_BYTES, grown)
    terms = Terms(allowed_bytes_per_call, seconds, calls, most, kinds)
    looks, picture = _watch(subject, terms, keepsakes, clock)
    deep, on = None, False
    if is_suspicious(picture, terms):
        deep, on = _look_deep(subject, picture, clock() + seconds * DEPTH_SHARE)
        keepsakes.forget()
    found = concluded(subject, sources, looks, picture, deep)
    each_seconds = subject.seconds / max(1, subject.calls)
    found = without_foreign(found, is_foreign, picture, each_seconds)
    rate = found.verdict.growth_bytes_per_call or 0.0
    fails = found.verdict.kind in GUILTY and rate > allowed_bytes_per_call
    made = looks[-1].calls
    if fails and not on:
        found, fails = replace(found, verdict=stopped(made), suspects=()), False
    unproven = fails and not is_proven(found.suspects, made)
    if unproven or (not fails and is_undecided(looks, picture, terms)):
        doubt = undecided(looks, picture, terms)
        found, fails = replace(found, verdict=doubt, suspects=()), False
    pause = max(look.pause_seconds for look in looks)
    cost = Cost(None, pause, len(looks) + (deep is not None), clock() - started)
    return Trial(found, cost, made, fails)


def _look_deep(
    subject: work.Work, picture: Picture, until: float
) -> tuple[DeepLook, bool]:
    """Look at depth; return also whether the growth goes on, as the counters see it."""
    rate = sum(row.size.slope for row in picture.steady_rows)
    affordable = int(MOST_GROWN_BYTES / max(rate, 1.0))
    goal = min(calls_wanted(picture), max(LEAST_CALLS, affordable))
    seen: list[Witness] = []

    def run() -> int:
        begun, tracer = _settled(), overhead_bytes()
        done = subject.run(goal, until)
        done += subject.run(max(0, LEAST_DEEP_CALLS - done))
        ended = _settled()
        known = bool(ended.python_blocks)
        blocks = ended.python_blocks - begun.python_blocks if known else None
        heap = _grown(tracer - overhead_bytes(), begun, ended)
        seen.append(Witness(done, blocks, heap))
        return done

    deep = look_deep(
        run,
        picture.rows,
        nframe=DEPTH_FRAMES,
        search_seconds=SEARCH_SECONDS,
        keep=work.OWN_FILE,
    )
    kept = kept_by_coverage((stack[0], held) for stack, held in deep.survivors.items())
    return deep, all(goes_on(picture, witness.without(kept)) for witness in seen)


def _watch(
    subject: work.Work, terms: Terms, keepsakes: Keepsakes, clock: Callable[[], float]
) -> tuple[list[Checkpoint], Picture]:
    """Look at growing call counts until more calls would teach nothing."""
    looks: list[Checkpoint] = []
    gc.collect()  # the garbage of earlier tests would be frozen with the rest
    with newborn_window(keep=work.OWN_FILE) as window:
        first, started = subject.calls, clock()
        begun = _settled()
        blocks, heap = begun.python_blocks, begun.heap_bytes
        suspicious = False
        while True:
            done = subject.calls - first
            goal = min(next_goal(done), terms.calls or next_goal(done))
            time_left = time_for(done, terms, suspicious=suspicious)
            subject.run(goal - done, started + time_left)
            keepsakes.forget()
            paused = clock()
            ended = _settled()
            blocks += ended.python_blocks - begun.python_blocks
            heap = _grown(heap, begun, ended)
            look = _look(window, subject.calls - first, paused - started, blocks, heap)
            looks.append(without_coverage(look))
            picture = seen_so_far(looks, terms.kinds)
            if is_over(looks, picture, terms):
                return looks, picture
            suspicious = is_suspicious(picture, terms)
            begun = _settled()


def _settled() -> Counters:
    """Read the counters after a collection, which also empties the free lists."""
    if collects_automatically():
        gc.collect()
        return read_counters()
    # Garbage stays, and so do the free lists, in which the blocks cannot be told.
    return replace(read_counters(), python_blocks=0)


def _grown(heap: int | None, begun: Counters, ended: Counters) -> int | None:
    """Add what the C heap grew while the work ran, and not while it was looked at."""
    if heap is None or begun.heap_bytes is None or ended.heap_bytes is None:
        return None
    return heap + ended.heap_bytes - begun.heap_bytes


def _look(
    window: Window, calls: int, seconds: float, blocks: int, heap: int | None
) -> Checkpoint:
    traced = tracemalloc.get_traced_memory()[0]
    traces = window.read_traces()
    return Checkpoint(
        calls=calls,
        seconds=seconds,
        sites=traces.by_frame(),
        traced_bytes=traced,
        traces=traces.total_count,
        python_blocks=blocks,
        heap_bytes=heap,
        rss_bytes=None,
        pause_seconds=window.longest_pause_seconds,
    )
