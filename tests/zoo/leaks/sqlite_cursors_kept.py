"""A report service keeps every cursor "for paging", none is ever closed."""

from __future__ import annotations

import sqlite3

EXPECT = {
    "verdict": "leak",
    "sites": ["open_report", "__init__", "first_page"],
    "owner": "SERVICE._open",
    "pattern": "unclosed-connection",
    "habit": "unclosed-connection",
    "bytes_per_call": (380, 6000),
}


class ReportService:
    page_size = 20

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute("CREATE TABLE visits (page TEXT, hits INTEGER)")
        self.connection.executemany(
            "INSERT INTO visits VALUES (?, ?)",
            [(f"/page/{n}", n * 7 % 1000) for n in range(3000)],
        )
        self._open: list[sqlite3.Cursor] = []

    def open_report(self, minimum: int) -> sqlite3.Cursor:
        cursor = self.connection.cursor()  # LEAK
        cursor.execute(  # LEAK
            "SELECT page, hits FROM visits WHERE hits >= ?",
            (minimum,),
        )
        self._open.append(cursor)  # LEAK
        return cursor

    def first_page(self, minimum: int) -> list[tuple[str, int]]:
        return self.open_report(minimum).fetchmany(self.page_size)  # LEAK

    def totals(self) -> dict[str, int]:
        rows = self.connection.execute("SELECT page, hits FROM visits LIMIT 1500")
        return dict(rows.fetchall())


SERVICE = ReportService()


def step(i: int) -> int:
    totals = SERVICE.totals()
    page = SERVICE.first_page(i % 500)
    return sum(totals.get(path, 0) for path, _ in page)
