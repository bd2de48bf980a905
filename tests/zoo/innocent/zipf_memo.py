"""A memo in a plain dict over 3000 products, most of them asked for rarely."""

from __future__ import annotations

import bisect
import itertools
import random

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(3)
PRODUCTS = 3000
_WEIGHTS = list(itertools.accumulate(1 / rank for rank in range(1, PRODUCTS + 1)))

_recommended: dict[int, list[int]] = {}


def popular_product() -> int:
    return bisect.bisect(_WEIGHTS, RANDOM.random() * _WEIGHTS[-1])


class Recommender:
    def similar(self, product: int) -> list[int]:
        if product not in _recommended:
            scores = [(product * n * 7919 % 3001, n) for n in range(60)]
            _recommended[product] = [n for _, n in sorted(scores)[:10]]
        return _recommended[product]


RECOMMENDER = Recommender()


def step() -> int:
    basket = [popular_product() for _ in range(12)]
    return sum(RECOMMENDER.similar(product)[0] for product in basket)
