"""Each call builds some 20 MB and frees it all; the allocator may keep the pages."""

from __future__ import annotations

import random

EXPECT = {"verdict": {"steady", "fragmentation", "load"}}

RANDOM = random.Random(20)


class Matrix:
    def __init__(self, rows: int, row_bytes: int) -> None:
        self.rows = [bytearray(row_bytes) for _ in range(rows)]

    def fill(self, seed: int) -> None:
        for number, row in enumerate(self.rows):
            row[seed % len(row)] = number % 256

    def checksum(self) -> int:
        return sum(row[0] + row[-1] for row in self.rows)


def step(i: int) -> int:
    matrix = Matrix(rows=5000 + RANDOM.randrange(500), row_bytes=4000)
    matrix.fill(i)
    return matrix.checksum()
