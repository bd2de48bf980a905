"""One thread pool for the whole process, its futures awaited and dropped."""

from __future__ import annotations

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed

EXPECT = {"verdict": {"steady", "cache"}}

_local = threading.local()


class Compressor:
    def __init__(self, workers: int) -> None:
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="zip")

    @staticmethod
    def _pack(number: int) -> int:
        # A scratch buffer per thread, made once and used again.
        if not hasattr(_local, "scratch"):
            _local.scratch = bytearray(8192)
        scratch = _local.scratch
        scratch[: 2048 + number % 512] = bytes(2048 + number % 512)
        del scratch[8192:]
        return len(zlib.compress(bytes(scratch)))

    def total(self, numbers: range) -> int:
        jobs = [self.pool.submit(self._pack, number) for number in numbers]
        return sum(job.result() for job in as_completed(jobs))


COMPRESSOR = Compressor(workers=4)


def step(i: int) -> int:
    return COMPRESSOR.total(range(i, i + 8))
