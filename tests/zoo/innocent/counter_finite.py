"""Counts per route, status and method: a few hundred keys, reached one by one."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

EXPECT = {"verdict": {"steady", "cache"}}

RANDOM = random.Random(28)
ROUTES = [f"/api/{noun}/{verb}" for noun in ("user", "order", "item", "cart")
          for verb in ("list", "show", "edit", "drop", "find")]  # fmt: skip


class Metrics:
    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.histogram: dict[str, list[int]] = defaultdict(lambda: [0] * 12)

    def note(self, method: str, route: str, status: int, size: int) -> None:
        self.requests[method, route, status] += 1
        self.histogram[route][min(11, size.bit_length())] += 1


METRICS = Metrics()


def step() -> int:
    for _ in range(5):
        METRICS.note(
            RANDOM.choice(("GET", "GET", "GET", "POST", "PUT")),
            RANDOM.choice(ROUTES),
            RANDOM.choices((200, 201, 304, 400, 404, 500), (70, 9, 9, 6, 5, 1))[0],
            int(RANDOM.paretovariate(0.8)),
        )
    return METRICS.requests.total()
