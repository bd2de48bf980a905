"""A database pool that opens connections under load up to its maximum of 20."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(20)


class ConnectionPool:
    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.opened = 0
        self._idle: list[sqlite3.Connection] = []

    def _open(self) -> sqlite3.Connection:
        if self.opened >= self.maximum:
            raise RuntimeError("the pool is exhausted")
        self.opened += 1
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.execute("CREATE TABLE item (id INTEGER, price INTEGER)")
        rows = [(n, n * 7 % 100) for n in range(50)]
        connection.executemany("INSERT INTO item VALUES (?, ?)", rows)
        return connection

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._idle.pop() if self._idle else self._open()
        try:
            yield connection
        finally:
            self._idle.append(connection)


POOL = ConnectionPool(maximum=20)
QUERY = "SELECT sum(price) FROM item WHERE id < ?"


def total(depth: int) -> int:
    with POOL.connection() as connection:
        (value,) = connection.execute(QUERY, (depth * 5,)).fetchone()
        return (value or 0) + (total(depth - 1) if depth > 1 else 0)


def step(i: int) -> int:
    # The concurrency of a burst is played by nesting.
    return total(RANDOM.randint(1, min(20, 1 + i // 40)))
