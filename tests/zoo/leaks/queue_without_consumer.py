"""Metrics are put on an unbounded queue whose consumer was switched off."""

from __future__ import annotations

import queue
import random

EXPECT = {
    "verdict": "leak",
    "sites": ["emit", "timed_request", "tags_for", "step"],
    "owner": "EMITTER.outbox",
    "pattern": "registry",
    "habit": "queue-without-consumer",
    "bytes_per_call": (510, 1800),
}

RANDOM = random.Random(41)


class Emitter:
    def __init__(self, *, enabled: bool) -> None:
        self.outbox: queue.Queue[dict] = queue.Queue()
        self.enabled = enabled

    def emit(self, name: str, value: float, tags: dict[str, str]) -> None:
        self.outbox.put({"name": name, "value": value, "tags": tags})  # LEAK

    def flush(self) -> int:
        sent = 0
        while self.enabled and not self.outbox.empty():
            self.outbox.get_nowait()
            sent += 1
        return sent


EMITTER = Emitter(enabled=False)


def tags_for(path: str) -> dict[str, str]:
    return {"path": path, "zone": "eu"}  # LEAK


def timed_request(path: str) -> int:
    rows = sorted(RANDOM.random() for _ in range(900))
    EMITTER.emit("request.rows", rows[-1], tags_for(path))  # LEAK
    EMITTER.emit("request.cost", rows[200] * 3, tags_for(path))  # LEAK
    return len(rows)


def step(i: int) -> int:
    size = timed_request(f"/reports/{i % 20}")  # LEAK
    EMITTER.flush()
    return size
