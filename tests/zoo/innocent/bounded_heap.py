"""The 500 slowest queries on a heap that replaces its smallest entry when full."""

from __future__ import annotations

import heapq
import random
from typing import NamedTuple

EXPECT = {"verdict": {"cache", "steady"}}

KEEP = 500
RANDOM = random.Random(500)


class Query(NamedTuple):
    milliseconds: float
    number: int
    sql: str


class SlowLog:
    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.heap: list[Query] = []

    def note(self, query: Query) -> None:
        if len(self.heap) < self.keep:
            heapq.heappush(self.heap, query)
        elif query > self.heap[0]:
            heapq.heapreplace(self.heap, query)

    def worst(self) -> float:
        return max(self.heap).milliseconds


LOG = SlowLog(KEEP)


def step(i: int) -> float:
    for n in range(10):
        table = f"t{RANDOM.randrange(30)}"
        sql = f"SELECT * FROM {table} WHERE id = {i * 10 + n} ORDER BY created"
        LOG.note(Query(RANDOM.expovariate(0.02), i * 10 + n, sql))
    return LOG.worst()
