"""A deprecation warning whose text contains the record's number.

Python remembers each distinct text in the module's ``__warningregistry__``.
"""

from __future__ import annotations

import logging
import warnings

EXPECT = {
    "verdict": "leak",
    "sites": ["upgrade", "convert"],
    "owner": "__warningregistry__",
    "pattern": "registry",
    "habit": "warning-registry",
    "bytes_per_call": (110, 360),
}

logging.captureWarnings(capture=True)
logging.getLogger("py.warnings").addHandler(logging.NullHandler())
logging.getLogger("py.warnings").propagate = False


class Migration:
    def __init__(self) -> None:
        self.done = 0

    def upgrade(self, record: dict[str, int]) -> dict[str, int]:
        if "colour" in record:
            warnings.warn(  # LEAK
                f"record {record['id']} still has the field 'colour'",  # LEAK
                stacklevel=1,
            )
            record["color"] = record.pop("colour")
        self.done += 1
        return record


MIGRATION = Migration()


def convert(number: int) -> int:
    records = [{"id": number * 100 + n, "size": n} for n in range(60)]
    records[number % 60]["colour"] = 7
    return sum(len(MIGRATION.upgrade(record)) for record in records)


def step(i: int) -> int:
    return convert(i)
