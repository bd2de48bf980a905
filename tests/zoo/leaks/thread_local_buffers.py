"""Worker threads collect SQL statements in a thread-local, for a debug toolbar.

The toolbar clears the list at the end of a request in *its* thread only; the pool's
threads live on and on.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

EXPECT = {
    "verdict": "leak",
    "sites": ["execute", "record", "load_page"],
    "owner": "_toolbar",
    "pattern": "thread",
    "habit": "thread-local",
    "bytes_per_call": (970, 3100),
}

_toolbar = threading.local()


def record(sql: str, rows: int) -> None:
    if not hasattr(_toolbar, "statements"):
        _toolbar.statements = []
    _toolbar.statements.append({"sql": sql, "rows": rows})  # LEAK


def execute(table: str, key: int) -> list[int]:
    columns = ", ".join(f"{table}.c{n}" for n in range(10))
    rows = [key * n % 1009 for n in range(300)]
    record(f"SELECT {columns} FROM {table} WHERE id = {key}", len(rows))  # LEAK
    return sorted(rows)


class PageLoader:
    def __init__(self, workers: int) -> None:
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="loader")

    def load_page(self, key: int) -> int:
        jobs = [self.pool.submit(execute, table, key) for table in TABLES]
        return sum(job.result()[0] for job in jobs)

    def clear_toolbar(self) -> None:
        _toolbar.statements = []


TABLES = ("users", "orders", "baskets", "events")
LOADER = PageLoader(workers=4)


def step(i: int) -> int:
    total = LOADER.load_page(i)
    LOADER.clear_toolbar()
    return total
