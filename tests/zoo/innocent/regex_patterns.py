"""Three hundred search patterns in turn, through the cache of module ``re``."""

from __future__ import annotations

import re

EXPECT = {"verdict": {"cache", "steady"}}

TEXT = " ".join(f"word{n}-{n * 37 % 101}" for n in range(150))


class Search:
    def __init__(self, number: int) -> None:
        self.pattern = rf"\bword{number}-(\d+)\s+word(?:{number + 1}|{number + 2})"

    def find(self, text: str) -> int:
        match = re.search(self.pattern, text)
        return int(match.group(1)) if match else 0


SEARCHES = [Search(n) for n in range(300)]


def step(i: int) -> int:
    return SEARCHES[i % 300].find(TEXT)
