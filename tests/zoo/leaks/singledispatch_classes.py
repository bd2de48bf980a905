"""An exporter registers a ``singledispatch`` overload for each report's row type.

Row types are made per report; the registry keeps class and overload for ever.
"""

from __future__ import annotations

import functools
from collections import namedtuple

EXPECT = {
    "verdict": "leak",
    "sites": ["row_type", "export", "step"],
    "owner": "render",
    "pattern": "class",
    "habit": "class-per-call",
    "bytes_per_call": (3400, 11000),
}


@functools.singledispatch
def render(row: object) -> str:
    return str(row)


@render.register
def _(row: dict) -> str:
    return ";".join(map(str, row.values()))


def row_type(report: int, columns: list[str]) -> type:
    made = namedtuple(f"Row{report}", columns)  # noqa: PYI024  # LEAK

    @render.register(made)  # LEAK
    def _(row: tuple) -> str:  # LEAK
        return ";".join(f"{value:>8}" for value in row)

    return made


def export(report: int) -> str:
    made = row_type(report, ["day", "region", "amount"])  # LEAK
    rows = [made(n % 31, n % 9, n * report % 10_000) for n in range(400)]
    return "\n".join(render(row) for row in rows)


def step(i: int) -> int:
    return len(export(i))
