"""A connection pool whose callers take connections and never give them back.

Only the error path of the nightly statistics query forgets the release; the pool
has no maximum and opens another connection each time.
"""

from __future__ import annotations

import sqlite3

EXPECT = {
    "verdict": "leak",
    "sites": ["acquire", "_open", "monthly_total"],
    "owner": "POOL._in_use",
    "pattern": "unclosed-connection",
    "habit": "unclosed-connection",
    "bytes_per_call": (190, 3000),
}

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, month INTEGER, cents INTEGER)
"""


class ConnectionPool:
    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._idle: list[sqlite3.Connection] = []
        self._in_use: dict[int, sqlite3.Connection] = {}

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.uri, uri=True)  # LEAK
        connection.execute(SCHEMA)  # LEAK
        return connection

    def acquire(self) -> sqlite3.Connection:
        connection = self._idle.pop() if self._idle else self._open()
        self._in_use[id(connection)] = connection  # LEAK
        return connection

    def release(self, connection: sqlite3.Connection) -> None:
        del self._in_use[id(connection)]
        self._idle.append(connection)


POOL = ConnectionPool("file:orders?mode=memory&cache=shared")


def seed() -> None:
    connection = POOL.acquire()
    rows = [(n, n % 12, n * 37 % 9000) for n in range(2000)]
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
    connection.commit()
    POOL.release(connection)


def monthly_total(month: int) -> int:
    connection = POOL.acquire()
    query = "SELECT sum(cents) FROM orders WHERE month = ?"
    (total,) = connection.execute(query, (month,)).fetchone()  # LEAK
    if total is None:
        return 0
    POOL.release(connection)
    return int(total)


seed()


def step(i: int) -> int:
    return sum(monthly_total(month) for month in (i % 12, (i + 5) % 12)) + (
        monthly_total(13) if i % 10 == 0 else 0
    )
