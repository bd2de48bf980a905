"""A cache of two generations: when the young one is full, the old one is dropped."""

from __future__ import annotations

import hashlib
import random

EXPECT = {"verdict": {"cache", "steady", "load"}}

RANDOM = random.Random(39)


class GenerationCache:
    def __init__(self, size: int) -> None:
        self.size = size
        self.young: dict[str, str] = {}
        self.old: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        if key in self.young:
            return self.young[key]
        if key in self.old:
            value = self.old[key]
            self.put(key, value)
            return value
        return None

    def put(self, key: str, value: str) -> None:
        if len(self.young) >= self.size:
            self.young, self.old = {}, self.young
        self.young[key] = value


CACHE = GenerationCache(size=700)


def signature(document: str) -> str:
    found = CACHE.get(document)
    if found is None:
        found = hashlib.blake2b(document.encode() * 50).hexdigest()
        CACHE.put(document, found)
    return found


def step() -> int:
    documents = [f"document-{RANDOM.randrange(30_000)}" for _ in range(4)]
    return sum(len(signature(document)) for document in documents)
