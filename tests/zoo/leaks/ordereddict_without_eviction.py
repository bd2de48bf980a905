"""An "LRU" cache on ``OrderedDict``: it moves entries to the end, but evicts nothing.

The eviction compares the size with itself after a refactoring.
"""

from __future__ import annotations

import random
import zlib
from collections import OrderedDict
from collections.abc import Callable

EXPECT = {
    "verdict": "leak",
    "sites": ["get", "thumbnail"],
    "owner": "THUMBNAILS._entries",
    "pattern": "unbounded-cache",
    "habit": "cache-without-eviction",
    "bytes_per_call": (220, 720),
}

RANDOM = random.Random(12)


class LruCache:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: OrderedDict[int, bytes] = OrderedDict()

    def get(self, key: int, make: Callable[[int], bytes]) -> bytes:
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        value = make(key)
        self._entries[key] = value  # LEAK
        self.capacity = max(self.capacity, len(self._entries))
        while len(self._entries) > self.capacity:
            self._entries.popitem(last=False)
        return value


THUMBNAILS = LruCache(capacity=256)


def thumbnail(picture: int) -> bytes:
    pixels = bytes((picture * n * n) % 253 for n in range(1800))
    return zlib.compress(pixels, 6)[:700]  # LEAK


def step(i: int) -> int:
    newest = i
    popular = max(0, i - RANDOM.randrange(1, 40))
    return len(THUMBNAILS.get(newest, thumbnail)) + len(
        THUMBNAILS.get(popular, thumbnail)
    )
