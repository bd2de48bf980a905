"""A ring of 256 fixed slots for received frames: the newest overwrites the oldest."""

from __future__ import annotations

import random
import struct

EXPECT = {"verdict": {"steady", "cache"}}

HEADER = struct.Struct("!IH")
RANDOM = random.Random(34)


class Ring:
    def __init__(self, slots: int) -> None:
        self.slots: list[bytes | None] = [None] * slots
        self.head = 0

    def put(self, frame: bytes) -> None:
        self.slots[self.head] = frame
        self.head = (self.head + 1) % len(self.slots)

    def sizes(self) -> list[int]:
        return [len(frame) for frame in self.slots if frame is not None]


class Receiver:
    def __init__(self) -> None:
        self.ring = Ring(slots=256)
        self.scratch = bytearray(2048)

    def receive(self, number: int) -> int:
        size = RANDOM.randrange(64, 1400)
        HEADER.pack_into(self.scratch, 0, number & 0xFFFFFFFF, size)
        self.ring.put(bytes(self.scratch[: HEADER.size + size]))
        return size


RECEIVER = Receiver()


def step(i: int) -> int:
    received = sum(RECEIVER.receive(i * 4 + n) for n in range(4))
    return received + max(RECEIVER.ring.sizes())
