"""An RPC client registers a future per request under its correlation id.

Answers to notifications never come, so their futures stay in the table.
"""

from __future__ import annotations

import asyncio
import struct
from itertools import count

EXPECT = {
    "verdict": "leak",
    "sites": ["send", "call", "notify"],
    "owner": "CLIENT._pending",
    "pattern": "task",
    "habit": "kept-future",
    "bytes_per_call": (120, 470),
}

HEADER = struct.Struct("!IQ")


class RpcClient:
    def __init__(self) -> None:
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._correlation = count(1)

    def send(self, payload: bytes) -> tuple[int, bytes]:
        correlation = next(self._correlation)  # LEAK
        loop = asyncio.get_running_loop()
        self._pending[correlation] = loop.create_future()  # LEAK
        return correlation, HEADER.pack(len(payload), correlation) + payload

    def on_answer(self, correlation: int, payload: bytes) -> None:
        self._pending.pop(correlation).set_result(payload)

    async def call(self, payload: bytes) -> bytes:
        correlation, frame = self.send(payload)
        answer = self._pending[correlation]
        self.on_answer(correlation, frame[HEADER.size :][::-1])
        return await answer

    async def notify(self, payload: bytes) -> int:
        _, frame = self.send(payload)  # LEAK
        return len(frame)


CLIENT = RpcClient()


async def step(i: int) -> int:
    size = 0
    for n in range(12):
        size += len(await CLIENT.call(bytes(100 + (i + n) % 50)))
    size += await CLIENT.notify(b"progress %d" % i)
    return size
