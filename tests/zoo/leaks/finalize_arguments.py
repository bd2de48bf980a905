"""``weakref.finalize`` on the application object, which never dies.

Each request registers one for its temporary rows, so the rows never die either.
"""

from __future__ import annotations

import weakref

EXPECT = {
    "verdict": "leak",
    "sites": ["stage", "load_rows", "serve"],
    "owner": None,
    "pattern": "registry",
    "habit": "finalizer",
    "bytes_per_call": (1100, 3300),
}


class Staging:
    def __init__(self) -> None:
        self.dropped = 0

    def drop(self, rows: list[tuple[int, str]]) -> None:
        self.dropped += len(rows)


class Application:
    def __init__(self) -> None:
        self.staging = Staging()

    def load_rows(self, request: int) -> list[tuple[int, str]]:
        return [(request + n, f"row {request + n}") for n in range(12)]  # LEAK

    def stage(self, rows: list[tuple[int, str]]) -> None:
        weakref.finalize(self, self.staging.drop, rows)  # LEAK

    def serve(self, request: int) -> int:
        rows = self.load_rows(request)  # LEAK
        self.stage(rows)
        text = "\n".join(f"{key};{name}" for key, name in rows for _ in range(120))
        return len(text.upper().split("\n"))


APP = Application()


def step(i: int) -> int:
    return APP.serve(i)
