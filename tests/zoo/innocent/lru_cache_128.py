"""``lru_cache(maxsize=128)`` over more keys than it holds: full after some calls."""

from __future__ import annotations

import functools
import random
import string

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(4)
KEYS = ["".join(RANDOM.choices(string.ascii_lowercase, k=9)) for _ in range(600)]


@functools.lru_cache(maxsize=128)
def soundex(word: str) -> str:
    codes = {c: str(n) for n, group in enumerate(GROUPS, 1) for c in group}
    digits = [codes.get(c, "") for c in word[1:]]
    return (word[0].upper() + "".join(digits) + "000")[:4]


GROUPS = ("bfpv", "cgjkqsxz", "dt", "l", "mn", "r")


class NameIndex:
    def __init__(self) -> None:
        self.matches = 0

    def compare(self, left: str, right: str) -> bool:
        same = soundex(left) == soundex(right)
        self.matches += same
        return same


INDEX = NameIndex()


def step() -> int:
    for _ in range(4):
        INDEX.compare(RANDOM.choice(KEYS), RANDOM.choice(KEYS))
    return INDEX.matches
