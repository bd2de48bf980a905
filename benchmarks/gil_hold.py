"""The longest that newborn windows keep every other thread waiting, in large heaps.

A second thread ticks each millisecond; a gap between two ticks is time in which
somebody held the GIL, or the machine was busy elsewhere. Therefore the same work
runs without windows beside it, and the gap told is the median over the windows of
the longest in each. What holds the GIL is ``tracemalloc`` listing its traces, about
0.3 µs each, so it is the work in a window that counts and not the heap around it.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Item, Row, build_heap, in_child, main

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from leakguard._runtime.window import Window

NAME = "longest pause of a window"
BUDGET = "8,000 new objects (17,000 traces): 25 ms, in heaps of 1 M and 4 M objects"

_MILLION = 1_000_000
_MOST_MS = 25.0
#: The first is judged. The second shows why a window is shortened when it is busy.
_NEWBORN = (8_000, 28_000)
_TICK_SECONDS = 0.001
_ROUNDS = 15


class Ticker:
    """A thread that sleeps for a millisecond again and again, and minds the gaps."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.longest_seconds = 0.0
        self.over = False
        self.thread = threading.Thread(target=self.tick)
        self.thread.start()

    def tick(self) -> None:
        """Tick until it is over."""
        before = self.clock()
        while not self.over:
            time.sleep(_TICK_SECONDS)
            now = self.clock()
            self.longest_seconds = max(self.longest_seconds, now - before)
            before = now

    def stop(self) -> None:
        """Let the thread end."""
        self.over = True
        self.thread.join()


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Open windows in heaps of 1 and 4 million objects, and none for comparison."""
    rows = []
    for millions in (1,) if quick else (1, 4):
        for newborn in _NEWBORN:
            size = (millions * _MILLION, newborn)
            ours, worst = in_child("gil_hold", "measure", "windows", *size)
            bare, worst_bare = in_child("gil_hold", "measure", "nothing", *size)
            what = f"{newborn:,} in {millions} M objects"
            judged = newborn == _NEWBORN[0]
            budget = f"<= {_MOST_MS:g} ms" if judged else ""
            met = ours <= _MOST_MS if judged else None
            rows += [
                Row(f"{what}, median", ours, "ms", "nothing", bare, budget, met),
                Row(f"{what}, worst of {_ROUNDS}", worst, "ms", "nothing", worst_bare),
            ]
    return rows


def measure(mode: str, objects: int, newborn: int) -> tuple[float, float]:
    """Return the median and the longest gap in milliseconds. Runs in a child."""
    heap = build_heap(objects)
    ticker = Ticker()
    gaps = []
    for _ in range(_ROUNDS):
        ticker.longest_seconds = 0.0
        with _window(mode) as view:
            born = []
            for number in range(newborn // 4):
                born.append(Item(number))
                if number % 500 == 0:
                    time.sleep(_TICK_SECONDS)  # an application waits now and then
            if view is not None:
                view.look()
            del born
        time.sleep(5 * _TICK_SECONDS)
        gaps.append(ticker.longest_seconds * 1000)
    ticker.stop()
    del heap
    return statistics.median(gaps), max(gaps)


def _window(mode: str) -> AbstractContextManager[Window | None]:
    from leakguard._runtime.window import newborn_window

    return newborn_window() if mode == "windows" else nullcontext()


if __name__ == "__main__":
    main(NAME, BUDGET, run)
