"""A latency window as a deque without ``maxlen``; the mean reads the last 100."""

from __future__ import annotations

import itertools
import random
from collections import deque

EXPECT = {
    "verdict": "leak",
    "sites": ["observe", "call_backend", "__init__"],
    "owner": "MONITOR.window",
    "pattern": "registry",
    "habit": "deque-without-maxlen",
    "bytes_per_call": (48, 140),
}

RANDOM = random.Random(6)


class Observation:
    __slots__ = ("backend", "seconds")

    def __init__(self, backend: str, seconds: float) -> None:
        self.backend = backend
        self.seconds = seconds


class LatencyMonitor:
    def __init__(self) -> None:
        self.window: deque[Observation] = deque()

    def observe(self, backend: str, seconds: float) -> None:
        self.window.append(Observation(backend, seconds))  # LEAK

    def mean(self) -> float:
        recent = list(itertools.islice(reversed(self.window), 100))
        return sum(o.seconds for o in recent) / len(recent)


MONITOR = LatencyMonitor()


def call_backend() -> str:
    backend = RANDOM.choice(("search", "users", "billing"))
    MONITOR.observe(backend, RANDOM.expovariate(20))  # LEAK
    return backend


def step() -> float:
    call_backend()
    return max(MONITOR.mean() * factor for factor in range(10))
