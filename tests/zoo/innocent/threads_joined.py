"""Two threads per call, both joined before the call returns."""

from __future__ import annotations

import hashlib
import threading

EXPECT = {"verdict": {"steady"}}


class Digester(threading.Thread):
    def __init__(self, blocks: list[bytes]) -> None:
        super().__init__()
        self.blocks = blocks
        self.digests: list[str] = []

    def run(self) -> None:
        for block in self.blocks:
            self.digests.append(hashlib.sha256(block).hexdigest())


def digest_all(blocks: list[bytes]) -> str:
    middle = len(blocks) // 2
    threads = [Digester(blocks[:middle]), Digester(blocks[middle:])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return "".join(d for thread in threads for d in thread.digests)


def step(i: int) -> int:
    blocks = [b"%d/%d;" % (i, n) * 400 for n in range(16)]
    return len(digest_all(blocks))
