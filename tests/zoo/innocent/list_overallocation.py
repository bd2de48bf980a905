"""Long-lived lists that grow and shrink around a mean, re-allocating as they go."""

from __future__ import annotations

import random

EXPECT = {"verdict": {"steady", "load", "cache"}}

RANDOM = random.Random(17)


class Shelf:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.boxes: list[int] = []

    def deliver(self, amount: int) -> None:
        self.boxes.extend(range(amount))
        del self.boxes[self.capacity :]

    def pick(self, amount: int) -> int:
        taken = self.boxes[-amount:]
        del self.boxes[-amount:]
        return sum(taken)


SHELVES = [Shelf(capacity=400) for _ in range(20)]


def step() -> int:
    picked = 0
    for shelf in RANDOM.sample(SHELVES, 5):
        shelf.deliver(RANDOM.randrange(60))
        picked += shelf.pick(RANDOM.randrange(1, 60))
    return picked
