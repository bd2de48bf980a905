"""A bounded queue and a worker thread that keeps up with it."""

from __future__ import annotations

import queue
import threading
import zlib

EXPECT = {"verdict": {"steady", "load"}}


class Uploader:
    def __init__(self) -> None:
        self.jobs: queue.Queue[bytes] = queue.Queue(maxsize=64)
        self.bytes_sent = 0
        threading.Thread(target=self._work, name="uploader", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self.jobs.get()
            self.bytes_sent += len(zlib.compress(job))
            self.jobs.task_done()

    def send(self, data: bytes) -> None:
        self.jobs.put(data)

    def drain(self) -> None:
        self.jobs.join()


UPLOADER = Uploader()


def step(i: int) -> int:
    for n in range(10):
        UPLOADER.send(b"%d:%d," % (i, n) * 120)
    if i % 20 == 19:
        UPLOADER.drain()
    return UPLOADER.bytes_sent
