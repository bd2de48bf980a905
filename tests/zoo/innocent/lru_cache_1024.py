"""``lru_cache(maxsize=1024)`` with records of about 1 KB that warms up slowly."""

from __future__ import annotations

import functools
import random

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(1024)


class Profile:
    def __init__(self, user: int) -> None:
        self.user = user
        self.scores = [user * n % 997 / 10 for n in range(30)]
        self.best = max(self.scores)


@functools.lru_cache(maxsize=1024)
def load_profile(user: int) -> Profile:
    return Profile(user)


def rank(users: list[int]) -> list[int]:
    return sorted(users, key=lambda user: load_profile(user).best, reverse=True)


def step() -> int:
    users = [int(RANDOM.paretovariate(0.6)) % 20_000 for _ in range(5)]
    return rank(users)[0]
