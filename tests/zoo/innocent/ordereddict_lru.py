"""A hand-written LRU with a capacity that evicts with ``popitem``."""

from __future__ import annotations

import random
import zlib
from collections import OrderedDict

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(12)


class LruCache:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: OrderedDict[int, bytes] = OrderedDict()

    def get(self, key: int) -> bytes | None:
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: int, value: bytes) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self.capacity:
            self._entries.popitem(last=False)


TILES = LruCache(capacity=1500)


def render_tile(number: int) -> bytes:
    row = bytes((number * n) % 256 for n in range(64))
    return zlib.compress(row * 8)


def tile(number: int) -> bytes:
    found = TILES.get(number)
    if found is None:
        found = render_tile(number)
        TILES.put(number, found)
    return found


def step() -> int:
    return len(tile(RANDOM.randrange(20_000))) + len(tile(RANDOM.randrange(50)))
