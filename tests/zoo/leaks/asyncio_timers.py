"""A connection sets a timeout of a day for each message, and cancels none of them."""

from __future__ import annotations

import asyncio

EXPECT = {
    "verdict": "leak",
    "sites": ["expect", "receive"],
    "owner": "_scheduled",
    "pattern": "task",
    "habit": "cancelled-timer",
    "bytes_per_call": (700, 3000),
}


class Connection:
    def __init__(self) -> None:
        self.late = 0

    def expire(self, message: bytes) -> None:
        self.late += len(message)

    def expect(self, message: bytes) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(86_400, self.expire, message)  # LEAK

    def receive(self, number: int) -> int:
        message = b"%d" % number + b"-" * 900  # LEAK
        self.expect(message)  # LEAK
        return len(message)


CONNECTION = Connection()


async def step(i: int) -> int:
    return CONNECTION.receive(i)
