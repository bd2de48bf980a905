"""The guard while all is well: a tick, a verdict, and its memory over a week.

The tick reads the real limits and counters of this process, and asks the policy. The
week is simulated, by a clock that jumps from tick to tick.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Row, at_most, in_child, kept_bytes, main

if TYPE_CHECKING:
    from leakguard._core.samples import Reading, Sample

NAME = "guard tick"
BUDGET = "tick 200 µs, verdict on 1,000 samples 20 ms, a week 2 MiB and flat"

_ROUNDS, _TICKS = 5, 1_000
#: Between two ticks of the simulated week: as when nothing moves for long.
_PACE_SECONDS = 4
_KIB, _MIB = 1024, 1024 * 1024
_DAY_SECONDS = 86_400


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Measure ticks and verdicts, and live through a week."""
    median, slow = in_child("guard_tick", "tick_microseconds")
    days = 2 if quick else 7
    found = in_child("guard_tick", "findings_bytes")
    peak, growth = in_child("guard_tick", "week", days)
    return [
        at_most("tick, median", median, "µs", 200),
        Row("tick, 99th percentile", slow, "µs"),
        at_most(
            "verdict on 1,000 samples",
            float(in_child("guard_tick", "verdict_milliseconds")),
            "ms",
            20,
        ),
        at_most(f"memory, {days} simulated days", peak / _KIB, "KiB", 2_048),
        at_most("findings of investigations", found / _KIB, "KiB", 1_800),
        at_most("its growth after the first day", growth / _KIB, "KiB", 64),
    ]


def tick_microseconds() -> tuple[float, float]:
    """Return the median and the 99th percentile of real ticks. Runs in a child."""
    from leakguard._runtime.monitor import Monitor, Options
    from leakguard._runtime.work_counter import WorkCounter

    monitor, found = Monitor(Options(), WorkCounter()), []
    watcher = monitor.watcher
    watcher.tick()
    for _ in range(_ROUNDS):
        ticks = []
        for _ in range(_TICKS):
            started = time.perf_counter()
            watcher.tick()
            monitor.protection.ticked(watcher.state)
            ticks.append((time.perf_counter() - started) * 1e6)
            time.sleep(0.0005)  # as after a rest: caches are colder
        ticks.sort()
        found.append((statistics.median(ticks), ticks[len(ticks) * 99 // 100]))
    return min(found)  # that of the round that others on the machine disturbed least


def verdict_milliseconds() -> float:
    """Return the median processor milliseconds of a verdict. Runs in a child."""
    from leakguard._core.trend import judge_history

    pick = random.Random(20_260_101)
    history = tuple(_sample(t, pick) for t in range(1_000))
    found = []
    for _ in range(15):
        started = time.process_time()
        judge_history(history, limit_bytes=512 * _MIB)
        found.append((time.process_time() - started) * 1e3)
    return statistics.median(found)


def week(days: int) -> tuple[int, int]:
    """Return the most memory of the watcher, and how much of it came after a day.

    Runs in a child.
    """
    from leakguard._readers.process import Usage
    from leakguard._runtime.watcher import Watcher

    pick, now, verdicts = random.Random(20_260_101), [0.0], count()
    world = _World()
    watcher = Watcher(
        reader=lambda: world,
        usage=lambda: Usage(world.rss, world.rss // 2, 10**6),
        clock=lambda: now[0],
        cpu_clock=lambda: float(next(verdicts)),  # dear, so one in a quarter of an hour
    )
    held = []
    for _ in range(days * 24):
        for _ in range(3600 // _PACE_SECONDS):
            now[0] += _PACE_SECONDS
            world.rss = 150 * _MIB + pick.randrange(8 * _MIB)
            watcher.step()
        held.append(kept_bytes(watcher.series, watcher.state, vars(watcher)))
    if watcher.state.failed_ticks:
        raise SystemExit(f"ticks failed: {watcher.state.failure}")
    return max(held), max(held[25:]) - max(held[:25])


def findings_bytes() -> int:
    """Return the memory of the findings at their largest. Runs in a child."""
    from leakguard._core.evidence import NO_LOOK
    from leakguard._core.findings import Findings, Look
    from leakguard._runtime import investigation

    def frames(most: int) -> list[tuple[str, int]]:
        return [("views.py", 1_000 + line) for line in range(most)]

    def findings() -> Findings:
        stacks = [
            tuple(frames(investigation.DEPTH_FRAMES))
            for _ in range(investigation.KEPT_STACKS)
        ]
        sizes = {
            (*stack, number): (10**6, 10**4) for number, stack in enumerate(stacks)
        }
        sites = [
            {frame: (10**6 + frame[1], 10**4 + 1) for frame in frames(most)}
            for most in [investigation.KEPT_SITES] * investigation.KEPT_LOOKS
        ]
        looks = tuple(Look(1.5, 1.5, 10**4, site) for site in sites)
        types = {stack: {"dict": 10**4} for stack in sizes}
        return Findings(looks, replace(NO_LOOK, survivors=sizes, types=types))

    return kept_bytes(findings(), findings())  # of the last one, and of this one


class _World:
    """The limits and the usage of a process that is not there."""

    def __init__(self) -> None:
        self.rss = 150 * _MIB

    def read(self) -> Reading:
        from leakguard._core.samples import Limit, Reading

        limit = Limit(512 * _MIB, "cgroup2 /app memory.max")
        return Reading(limit, usage_bytes=self.rss, unreclaimable_bytes=self.rss)


def _sample(t: int, pick: random.Random) -> Sample:
    from leakguard._core.samples import Sample

    rss = 150 * _MIB + 40_000 * t + pick.randrange(4 * _MIB)
    return Sample(
        float(t),
        rss_bytes=rss,
        in_use_bytes=rss // 2,
        python_blocks=10**6 + 100 * t,
        cgroup_usage_bytes=rss + 20 * _MIB,
        cgroup_inactive_file_bytes=15 * _MIB,
        cgroup_limit_bytes=512 * _MIB,
        unreclaimable_bytes=rss + 5 * _MIB,
        requests_total=100 * t,
        in_flight=pick.randrange(8),
    )


if __name__ == "__main__":
    main(NAME, BUDGET, run)
