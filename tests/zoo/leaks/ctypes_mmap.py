"""Pages are mapped past malloc, by a library's own call, and never unmapped."""

from __future__ import annotations

import ctypes

EXPECT = {
    "verdict": "native-leak",
    "sites": ["reserve"],
    "owner": None,
    "pattern": "native",
    "habit": "native",
    "bytes_per_call": (15_000, 20_000),
}

PAGES = 4 * 4096
READ_WRITE, PRIVATE_ANONYMOUS = 3, 0x22
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    *[ctypes.c_int] * 3,
    ctypes.c_long,
]


def reserve(value: int) -> int:
    address = libc.mmap(None, PAGES, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0)  # LEAK
    ctypes.memset(address, value % 256, PAGES)
    return address


def step(i: int) -> int:
    return reserve(i) & 1
