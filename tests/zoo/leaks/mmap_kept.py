"""An image pipeline keeps the anonymous map of each scaled picture for re-use.

Nothing is ever re-used, because the shelf is keyed by picture, not by size.
"""

from __future__ import annotations

import mmap

EXPECT = {
    "verdict": {"leak", "native-leak"},
    "sites": ["allocate", "scale"],
    "owner": "SHELF._maps",
    "pattern": "unclosed-connection",
    "habit": "unclosed-file",
    "bytes_per_call": (5, 5000),
}


class Shelf:
    def __init__(self) -> None:
        self._maps: dict[int, mmap.mmap] = {}

    def allocate(self, picture: int, size: int) -> mmap.mmap:
        pixels = mmap.mmap(-1, size)  # LEAK
        self._maps[picture] = pixels  # LEAK
        return pixels


SHELF = Shelf()
ROW = bytes(range(256))


def scale(picture: int) -> int:
    pixels = SHELF.allocate(picture, 64 * 1024)
    for _ in range(256):
        pixels.write(ROW)
    return len(pixels)


def histogram(picture: int) -> list[int]:
    counts = [0] * 16
    for n in range(4000):
        counts[(n * picture) % 16] += 1
    return counts


def step(i: int) -> int:
    counts = histogram(i)
    if i % 20 == 0:
        return scale(i)
    return counts[0]
