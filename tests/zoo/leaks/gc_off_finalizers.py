"""Objects with ``__del__`` in reference cycles, in a worker that turned gc off."""

from __future__ import annotations

import gc
import zlib

EXPECT = {
    "verdict": "leak",
    "sites": ["__init__", "open_stream", "attach"],
    "owner": None,
    "pattern": "cycle",
    "habit": "cycle-with-finalizer",
    "bytes_per_call": (2600, 7700),
}

gc.disable()


class Transport:
    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.buffer = bytearray(4096)  # LEAK
        self.closed = False

    def __del__(self) -> None:
        self.closed = True


class Protocol:
    def __init__(self, name: str) -> None:
        self.name = name
        self.transport: Transport | None = None

    def attach(self) -> None:
        self.transport = Transport(self)  # LEAK

    def feed(self, data: bytes) -> int:
        assert self.transport is not None
        size = min(len(data), len(self.transport.buffer))
        self.transport.buffer[:size] = data[:size]
        return zlib.crc32(self.transport.buffer)


def open_stream(number: int) -> Protocol:
    protocol = Protocol(f"stream-{number}")  # LEAK
    protocol.attach()  # LEAK
    return protocol


def step(i: int) -> int:
    protocol = open_stream(i)
    packed = zlib.compress(bytes((i + n) % 251 for n in range(6000)), 6)
    return protocol.feed(packed)
