"""A rate limiter on a ``defaultdict``: merely asking about a client creates it.

Port scans ask about addresses that never come again.
"""

from __future__ import annotations

import ipaddress
import random
from collections import defaultdict

EXPECT = {
    "verdict": "leak",
    "sites": ["allowed", "__init__", "client_address", "step"],
    "owner": "LIMITER._buckets",
    "pattern": "unbounded-cache",
    "habit": "defaultdict-read",
    "bytes_per_call": (94, 460),
}

RANDOM = random.Random(14)


class Bucket:
    def __init__(self) -> None:
        self.tokens = 10.0
        self.last_seen = 0  # LEAK

    def refill(self, now: int) -> None:
        self.tokens = min(10.0, self.tokens + (now - self.last_seen) * 0.1)
        self.last_seen = now


class RateLimiter:
    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = defaultdict(Bucket)

    def allowed(self, address: str) -> bool:
        return self._buckets[address].tokens >= 1  # LEAK

    def take(self, address: str, now: int) -> None:
        bucket = self._buckets[address]
        bucket.refill(now)
        bucket.tokens -= 1


LIMITER = RateLimiter()
REGULARS = [f"10.0.0.{n}" for n in range(1, 50)]


def client_address() -> str:
    return str(ipaddress.IPv4Address(RANDOM.getrandbits(32)))  # LEAK


def step(i: int) -> int:
    served = 0
    for _ in range(40):
        address = RANDOM.choice(REGULARS)
        if LIMITER.allowed(address):
            LIMITER.take(address, i)
            served += 1
    return served + LIMITER.allowed(client_address())  # LEAK
