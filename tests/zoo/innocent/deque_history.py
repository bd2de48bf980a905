"""The last 2000 requests in a ``deque(maxlen=2000)``."""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(2000)


@dataclass
class Request:
    path: str
    status: int
    milliseconds: float


class AccessLog:
    def __init__(self) -> None:
        self.recent: deque[Request] = deque(maxlen=2000)

    def note(self, path: str, status: int, milliseconds: float) -> None:
        self.recent.append(Request(path, status, milliseconds))

    def by_status(self) -> Counter[int]:
        return Counter(request.status for request in self.recent)


LOG = AccessLog()


def step(i: int) -> int:
    status = RANDOM.choices((200, 304, 404, 500), weights=(80, 12, 7, 1))[0]
    LOG.note(f"/items/{RANDOM.randrange(10**6)}", status, RANDOM.expovariate(0.1))
    return LOG.by_status()[200] if i % 25 == 0 else 0
