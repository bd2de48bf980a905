"""A synchronous application with an event loop in a background thread.

For each job it submits a coroutine that awaits a lock never released again.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading

EXPECT = {
    "verdict": "leak",
    "sites": ["submit", "renew", "step"],
    "owner": "BACKGROUND.locks",
    "pattern": "task",
    "habit": "kept-future",
    "bytes_per_call": (2200, 7900),
}


class Background:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.locks: dict[str, asyncio.Lock] = {}
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    async def renew(self, name: str, owner: str) -> None:
        lock = self.locks.setdefault(name, asyncio.Lock())
        await lock.acquire()  # LEAK
        self.last_owner = owner

    def submit(self, name: str, owner: str) -> None:
        lease = self.renew(name, owner)  # LEAK
        asyncio.run_coroutine_threadsafe(lease, self.loop)  # LEAK

    def drain(self) -> None:
        done = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self.loop)
        done.result(timeout=10)


BACKGROUND = Background()


def step(i: int) -> str:
    digest = hashlib.sha256()
    for n in range(2500):
        digest.update(b"%d:%d" % (i, n))
    BACKGROUND.submit("report", f"job-{i}")  # LEAK
    BACKGROUND.drain()
    return digest.hexdigest()
