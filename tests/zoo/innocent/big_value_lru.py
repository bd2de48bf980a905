"""A full LRU of 60 images of about 100 KB: constant size, constant turnover."""

from __future__ import annotations

import random
from collections import OrderedDict

EXPECT = {"verdict": {"cache", "steady"}}

MAX_IMAGES = 60
RANDOM = random.Random(60)


class ImageCache:
    def __init__(self) -> None:
        self.images: OrderedDict[int, bytearray] = OrderedDict()

    def load(self, number: int) -> bytearray:
        if number in self.images:
            self.images.move_to_end(number)
            return self.images[number]
        image = bytearray(90_000 + number % 20_000)
        image[:: 1 + number % 7] = bytes(len(image[:: 1 + number % 7]))
        self.images[number] = image
        if len(self.images) > MAX_IMAGES:
            self.images.popitem(last=False)
        return image


CACHE = ImageCache()


def step() -> int:
    image = CACHE.load(RANDOM.randrange(5000))
    return sum(image[::1000])
