"""A ctypes binding to the C library that forgets the ``free`` of each result."""

from __future__ import annotations

import ctypes

EXPECT = {
    "verdict": "native-leak",
    "sites": ["duplicate", "encode"],
    "owner": None,
    "pattern": "native",
    "habit": "native-call",
    "c_function": "malloc",
    "bytes_per_call": (3500, 5000),
}

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


class Codec:
    block = 4096

    def duplicate(self, data: bytes) -> int:
        address = libc.malloc(self.block)  # LEAK
        ctypes.memset(address, 0, self.block)
        ctypes.memmove(address, data, min(len(data), self.block))
        return address

    def encode(self, text: str) -> bytes:
        address = self.duplicate(text.encode("utf-16"))
        return ctypes.string_at(address, self.block)


CODEC = Codec()


def step(i: int) -> int:
    text = " ".join(f"{i * n % 1009:x}" for n in range(300))
    checksum = 0
    for byte in CODEC.encode(text):
        checksum = (checksum * 31 + byte) & 0xFFFFFFFF
    return checksum
