"""Requests enter their resources on the application's ``ExitStack``.

That one unwinds at shutdown only.
"""

from __future__ import annotations

import io
import json
from contextlib import ExitStack

EXPECT = {
    "verdict": "leak",
    "sites": ["export", "__init__", "write"],
    "owner": "APP.stack",
    "pattern": "listener",
    "habit": "exit-stack",
    "bytes_per_call": (1400, 9300),
}


class Export:
    def __init__(self, number: int) -> None:
        self.number = number
        self.stream = io.StringIO()  # LEAK

    def __enter__(self) -> Export:  # noqa: PYI034
        return self

    def __exit__(self, *details: object) -> None:
        self.stream.close()

    def write(self, row: dict[str, int]) -> None:
        self.stream.write(json.dumps(row) + "\n")  # LEAK


class Application:
    def __init__(self) -> None:
        self.stack = ExitStack()

    def export(self, number: int) -> int:
        export = self.stack.enter_context(Export(number))  # LEAK
        for n in range(60):
            export.write({"row": n, "value": number * n % 1000})
        return export.stream.tell()


APP = Application()


def step(i: int) -> int:
    return APP.export(i)
