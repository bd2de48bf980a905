"""Spool files of large uploads stay open: only the happy path closes them."""

from __future__ import annotations

import hashlib
import tempfile
from typing import IO

EXPECT = {
    "verdict": "leak",
    "sites": ["spool", "receive", "step"],
    "owner": "RECEIVER._open_files",
    "pattern": "unclosed-connection",
    "habit": "unclosed-file",
    "bytes_per_call": (70, 400),
}


class Receiver:
    def __init__(self) -> None:
        self._open_files: dict[str, IO[bytes]] = {}
        self.refused = 0

    def spool(self, name: str) -> IO[bytes]:
        handle = tempfile.TemporaryFile()  # LEAK
        self._open_files[name] = handle  # LEAK
        return handle

    def receive(self, name: str, body: bytes, expected: str) -> bool:
        digest = hashlib.sha256()
        for start in range(0, len(body), 4096):
            digest.update(body[start : start + 4096])
        if digest.hexdigest() == expected:
            return True
        handle = self.spool(name)  # LEAK
        handle.write(body[:1000])  # LEAK
        self.refused += 1
        return False


RECEIVER = Receiver()
BODY = bytes(range(256)) * 16384
EXPECTED = hashlib.sha256(BODY).hexdigest()


def step(i: int) -> bool:
    expected = EXPECTED if i % 30 else "unknown"
    return RECEIVER.receive(f"upload-{i}", BODY, expected)  # LEAK
