"""An ``ExitStack`` per call with temporary files, all closed when it unwinds."""

from __future__ import annotations

import io
import tempfile
from contextlib import ExitStack
from typing import IO

EXPECT = {"verdict": {"steady"}}


class Merger:
    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.parts: list[IO[bytes]] = []

    def add(self, data: bytes) -> None:
        spool = tempfile.SpooledTemporaryFile(max_size=64 * 1024)
        part = self.stack.enter_context(spool)
        part.write(data)
        part.seek(0)
        self.parts.append(part)

    def merge(self) -> bytes:
        merged = io.BytesIO()
        for part in self.parts:
            merged.write(part.read())
        return merged.getvalue()


def step(i: int) -> int:
    with ExitStack() as stack:
        merger = Merger(stack)
        for n in range(6):
            merger.add(b"%d;%d\n" % (i, n) * (100 + n))
        return len(merger.merge())
