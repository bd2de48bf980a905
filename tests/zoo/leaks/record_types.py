"""Query results become dataclasses made per column list; lists carry generated names.

The types are remembered by their columns, to be reused, which never happens.
"""

from __future__ import annotations

import dataclasses

EXPECT = {
    "verdict": "leak",
    "sites": ["type_for", "columns_of"],
    "owner": "_types",
    "pattern": "class",
    "habit": "class-per-call",
    "bytes_per_call": (4500, 22000),
}

_types: dict[tuple[str, ...], type] = {}


def columns_of(query: int) -> tuple[str, ...]:
    return ("id", "name", f"total_{query}")  # LEAK


def type_for(columns: tuple[str, ...]) -> type:
    if columns not in _types:
        made = dataclasses.make_dataclass("Record", columns)  # LEAK
        _types[columns] = made  # LEAK
    return _types[columns]


class Query:
    def __init__(self, number: int) -> None:
        self.number = number

    def rows(self) -> list[object]:
        record = type_for(columns_of(self.number))
        return [record(n, f"name{n}", n * self.number) for n in range(1500)]


def step(i: int) -> int:
    rows = Query(i).rows()
    longest = max(rows, key=lambda row: len(row.name))
    return longest.id
