"""Every fortieth upload starts a watchdog thread that waits for a signal.

The "upload finished" event is never set for chunked uploads: the threads stay.
"""

from __future__ import annotations

import hashlib
import threading

EXPECT = {
    "verdict": "leak",
    "sites": ["watch", "__init__", "receive", "_wait", "step"],
    "owner": None,
    "pattern": "thread",
    "habit": "thread-without-end",
    "bytes_per_call": (60, 2000),
}

threading.stack_size(256 * 1024)


class Upload:
    def __init__(self, number: int, *, chunked: bool) -> None:
        self.number = number
        self.chunked = chunked
        self.finished = threading.Event()  # LEAK
        self.digest = hashlib.sha256()

    def watch(self) -> None:
        name = f"upload-{self.number}"
        thread = threading.Thread(target=self._wait, name=name, daemon=True)  # LEAK
        thread.start()  # LEAK

    def _wait(self) -> None:
        self.finished.wait()  # LEAK

    def receive(self, block: bytes) -> None:
        for start in range(0, len(block), 1024):
            self.digest.update(block[start : start + 1024])
        if not self.chunked:
            self.finished.set()


BLOCK = bytes(range(256)) * 12288


def step(i: int) -> str:
    upload = Upload(i, chunked=i % 40 == 0)  # LEAK
    if upload.chunked:
        upload.watch()
    upload.receive(BLOCK)
    return upload.digest.hexdigest()
