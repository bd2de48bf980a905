"""Bad rows raise deep down; the caller keeps only a message of the last ten."""

from __future__ import annotations

import json
import traceback
from collections import deque

EXPECT = {"verdict": {"steady", "cache"}}


class RowError(ValueError):
    pass


class Importer:
    def __init__(self) -> None:
        self.messages: deque[str] = deque(maxlen=10)
        self.imported = 0

    def check(self, row: dict[str, int]) -> None:
        if row["quantity"] % 13 == 0:
            raise RowError(f"quantity {row['quantity']} is unlucky")

    def store(self, raw: str) -> None:
        rows = json.loads(raw)
        for row in rows:
            try:
                self.check(row)
                self.imported += 1
            except RowError as error:  # noqa: PERF203
                last = traceback.extract_tb(error.__traceback__)[-1]
                self.messages.append(f"{last.name}: {error}")


IMPORTER = Importer()


def step(i: int) -> int:
    rows = [{"sku": n, "quantity": i + n} for n in range(40)]
    IMPORTER.store(json.dumps(rows))
    return IMPORTER.imported
