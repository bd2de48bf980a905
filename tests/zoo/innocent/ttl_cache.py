"""A cache whose entries expire 800 calls after they were made, on a logical clock."""

from __future__ import annotations

import random
from collections import OrderedDict

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(800)


class TtlCache:
    def __init__(self, ttl: int) -> None:
        self.ttl = ttl
        self._entries: OrderedDict[str, tuple[int, list[int]]] = OrderedDict()

    def expire(self, now: int) -> None:
        while self._entries:
            made_at, _ = next(iter(self._entries.values()))
            if now - made_at < self.ttl:
                break
            self._entries.popitem(last=False)

    def get(self, key: str, now: int) -> list[int] | None:
        self.expire(now)
        entry = self._entries.get(key)
        return entry[1] if entry else None

    def put(self, key: str, value: list[int], now: int) -> None:
        self._entries[key] = (now, value)


SESSIONS = TtlCache(ttl=800)


class Site:
    def __init__(self) -> None:
        self.now = 0

    def visit(self, session: str) -> int:
        self.now += 1
        basket = SESSIONS.get(session, self.now)
        if basket is None:
            basket = [self.now * n % 1000 for n in range(25)]
            SESSIONS.put(session, basket, self.now)
        return sum(basket)


SITE = Site()


def step() -> int:
    return SITE.visit(f"session-{RANDOM.getrandbits(40):x}")
