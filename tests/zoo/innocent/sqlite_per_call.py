"""A new SQLite connection per call, closed at its end."""

from __future__ import annotations

import sqlite3
from contextlib import closing

EXPECT = {"verdict": {"steady"}}


class Repository:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        connection.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")

    def add(self, texts: list[str]) -> None:
        rows = [(text,) for text in texts]
        self.connection.executemany("INSERT INTO note (text) VALUES (?)", rows)

    def longest(self) -> str:
        query = "SELECT text FROM note ORDER BY length(text) DESC LIMIT 1"
        return self.connection.execute(query).fetchone()[0]


def step(i: int) -> int:
    with closing(sqlite3.connect(":memory:")) as connection:
        notes = Repository(connection)
        notes.add([f"note {n} " * (1 + (i + n) % 5) for n in range(30)])
        return len(notes.longest())
