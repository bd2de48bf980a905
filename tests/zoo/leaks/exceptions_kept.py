"""An importer keeps the exceptions of bad rows for its summary.

Each carries a traceback, whose frames hold the whole decoded batch.
"""

from __future__ import annotations

import json

EXPECT = {
    "verdict": "leak",
    "sites": ["decode", "run_batch", "check_row", "encode"],
    "owner": "IMPORTER.failures",
    "pattern": "traceback",
    "habit": "kept-traceback",
    "bytes_per_call": (13000, 43000),
}


class RowError(ValueError):
    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"row {number}: {reason}")
        self.number = number


class Importer:
    def __init__(self) -> None:
        self.failures: list[RowError] = []
        self.rows = 0

    def run_batch(self, raw: str) -> None:
        rows = self.decode(raw)
        try:
            for number, row in enumerate(rows):
                self.check_row(number, row)
                self.rows += 1
        except RowError as error:
            self.failures.append(error)  # LEAK

    def decode(self, raw: str) -> list[dict]:
        return json.loads(raw)  # LEAK

    def check_row(self, number: int, row: dict) -> None:
        if row["quantity"] < 0:
            raise RowError(number, "negative quantity")  # LEAK


IMPORTER = Importer()


def encode(batch: int) -> str:
    rows = [
        {"sku": f"A{batch}-{n}", "quantity": n, "bin": n % 7}  # LEAK
        for n in range(60)
    ]
    if batch % 2:
        rows[-1]["quantity"] = -1
    return json.dumps(rows)  # LEAK


def step(i: int) -> int:
    for part in range(20):
        raw = encode(2 * i + part * 2)
        IMPORTER.run_batch(raw)
    IMPORTER.run_batch(encode(2 * i + 1))
    return IMPORTER.rows
