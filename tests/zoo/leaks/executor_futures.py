"""A thumbnailer keeps all futures of its thread pool, with their results."""

from __future__ import annotations

import zlib
from concurrent.futures import Future, ThreadPoolExecutor

EXPECT = {
    "verdict": "leak",
    "sites": ["submit", "shrink", "flush"],
    "owner": "THUMBNAILER.futures",
    "pattern": "task",
    "habit": "kept-future",
    "bytes_per_call": (5600, 17000),
}


def shrink(picture: int) -> bytes:
    pixels = bytes((picture + n * n) % 251 for n in range(1600))
    packed = zlib.compress(pixels)
    return packed + bytes(1500 - min(len(packed), 1500))  # LEAK


class Thumbnailer:
    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(max_workers=2)
        self.futures: list[Future[bytes]] = []

    def submit(self, picture: int) -> None:
        self.futures.append(self.pool.submit(shrink, picture))  # LEAK

    def flush(self, newest: int) -> int:
        return sum(len(future.result()) for future in self.futures[-newest:])


THUMBNAILER = Thumbnailer()


def step(i: int) -> int:
    for n in range(3):
        THUMBNAILER.submit(i + n)
    return THUMBNAILER.flush(newest=3)
