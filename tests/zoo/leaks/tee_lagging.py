"""A sensor stream is split with ``itertools.tee``; the audit branch is never read."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

EXPECT = {
    "verdict": "leak",
    "sites": ["readings", "advance", "__init__"],
    "owner": "STATION.audit",
    "pattern": None,
    "habit": "lagging-tee",
    "bytes_per_call": (1800, 5100),
}


def readings(seed: int) -> Iterator[tuple[int, float, float]]:
    source = random.Random(seed)
    for number in itertools.count():  # LEAK
        angle = source.random() * math.tau
        yield number, math.sin(angle), math.cos(angle)  # LEAK


class Station:
    def __init__(self, seed: int) -> None:
        self.live, self.audit = itertools.tee(readings(seed))

    def advance(self, amount: int) -> float:
        window = itertools.islice(self.live, amount)
        return max(math.hypot(x, y) * number for number, x, y in window)  # LEAK


STATION = Station(seed=19)


def step() -> float:
    peak = STATION.advance(20)
    smoothed = [math.exp(-n / 50) * peak for n in range(5000)]
    return sum(smoothed)
