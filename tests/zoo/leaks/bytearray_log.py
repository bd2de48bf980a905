"""A protocol recorder appends every frame to one ``bytearray`` for "replay"."""

from __future__ import annotations

import struct
import zlib

EXPECT = {
    "verdict": "leak",
    "sites": ["record", "exchange"],
    "owner": "RECORDER.tape",
    "pattern": "other",
    "habit": "growing-buffer",
    "bytes_per_call": (550, 1700),
}

FRAME = struct.Struct("!BIH")


class Recorder:
    def __init__(self) -> None:
        self.tape = bytearray()
        self.frames = 0

    def record(self, kind: int, payload: bytes) -> None:
        self.tape += FRAME.pack(kind, self.frames, len(payload))  # LEAK
        self.tape += payload  # LEAK
        self.frames += 1


RECORDER = Recorder()


def exchange(number: int) -> int:
    body = b"".join(b"%d," % (number * n % 977) for n in range(150))
    RECORDER.record(1, body)  # LEAK
    reply = zlib.compress(body, 9)
    RECORDER.record(2, reply)  # LEAK
    return zlib.crc32(reply)


def step(i: int) -> int:
    return exchange(i)
