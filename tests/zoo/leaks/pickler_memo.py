"""One long-lived ``Pickler`` writes all records to a log file.

Its memo keeps each object it has ever seen, in case it comes again.
"""

from __future__ import annotations

import io
import pickle
import random

EXPECT = {
    "verdict": "leak",
    "sites": ["append", "reading"],
    "owner": "LOG._pickler",
    "pattern": "unbounded-cache",
    "habit": "pickler-memo",
    "bytes_per_call": (390, 1400),
}

RANDOM = random.Random(37)


class RecordLog:
    def __init__(self) -> None:
        self._stream = io.BytesIO()
        self._pickler = pickle.Pickler(self._stream, protocol=4)
        self.bytes_written = 0

    def append(self, record: dict[str, object]) -> None:
        self._pickler.dump(record)  # LEAK
        self.bytes_written += self._stream.tell()
        self._stream.seek(0)
        self._stream.truncate()


LOG = RecordLog()


def reading(number: int) -> dict[str, object]:
    values = [RANDOM.gauss(20, 4) for _ in range(8)]  # LEAK
    return {  # LEAK
        "station": f"S{number % 40:02}",  # LEAK
        "number": number,
        "values": values,
    }


def step(i: int) -> int:
    LOG.append(reading(i))
    recent = [RANDOM.random() * n for n in range(1200)]
    return LOG.bytes_written + int(max(recent))
