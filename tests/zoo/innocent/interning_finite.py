"""A string table over a finite vocabulary of 2000 column names."""

from __future__ import annotations

import random

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(2000)


class StringTable:
    def __init__(self) -> None:
        self._strings: dict[str, str] = {}

    def intern(self, text: str) -> str:
        return self._strings.setdefault(text, text)


class RowReader:
    def __init__(self, table: StringTable) -> None:
        self.table = table

    def read(self, line: str) -> dict[str, int]:
        row = {}
        for cell in line.split(";"):
            name, _, value = cell.partition("=")
            row[self.table.intern(name)] = int(value)
        return row


READER = RowReader(StringTable())


def random_line() -> str:
    cells = (f"column_{RANDOM.randrange(2000):04}={n}" for n in range(20))
    return ";".join(cells)


def step() -> int:
    return sum(READER.read(random_line()).values())
