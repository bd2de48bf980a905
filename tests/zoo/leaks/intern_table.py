"""A parser interns attribute names in a plain dict, and ids pass for names."""

from __future__ import annotations

import random

EXPECT = {
    "verdict": "leak",
    "sites": ["intern", "parse", "document"],
    "owner": "PARSER._strings",
    "pattern": "unbounded-cache",
    "habit": "dict-as-cache",
    "bytes_per_call": (360, 1300),
}

RANDOM = random.Random(1)


class Parser:
    def __init__(self) -> None:
        self._strings: dict[str, str] = {}

    def intern(self, text: str) -> str:
        return self._strings.setdefault(text, text)  # LEAK

    def parse(self, source: str) -> list[tuple[str, str]]:
        pairs = []
        for token in source.split(" "):
            name, _, value = token.partition("=")  # LEAK
            pairs.append((self.intern(name), self.intern(value)))
        return pairs


PARSER = Parser()
NAMES = ("class", "href", "title", "id", "style", "lang")


def document() -> str:
    parts = [f"{RANDOM.choice(NAMES)}=v{n % 30}" for n in range(150)]
    parts += [f"id=node-{RANDOM.getrandbits(40):x}" for _ in range(8)]
    return " ".join(parts)


def step() -> int:
    return len(PARSER.parse(document()))
