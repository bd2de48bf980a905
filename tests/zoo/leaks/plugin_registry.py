"""Every worker enters itself in a registry when it starts, and never leaves it."""

from __future__ import annotations

EXPECT = {
    "verdict": "leak",
    "sites": ["__init__", "start"],
    "owner": "WORKERS.registered",
    "pattern": "registry",
    "habit": "registry",
    "bytes_per_call": (700, 2000),
}


class Workers:
    def __init__(self) -> None:
        self.registered: dict[int, Worker] = {}

    def start(self, number: int) -> Worker:
        worker = Worker(number)  # LEAK
        self.registered[number] = worker  # LEAK
        return worker


class Worker:
    __slots__ = ("number", "scratch")

    def __init__(self, number: int) -> None:
        self.number = number
        self.scratch = bytearray(800)  # LEAK


WORKERS = Workers()


def step(i: int) -> int:
    return len(WORKERS.start(i).scratch)
