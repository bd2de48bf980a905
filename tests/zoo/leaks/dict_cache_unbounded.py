"""A price cache keyed by customer, article and revision: no key comes twice."""

from __future__ import annotations

import hashlib
import random

EXPECT = {
    "verdict": "leak",
    "sites": ["quote", "compute", "step"],
    "owner": "PRICES._entries",
    "pattern": "unbounded-cache",
    "habit": "dict-as-cache",
    "bytes_per_call": (290, 970),
}


class PriceCache:
    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, int], dict[str, float]] = {}
        self.hits = 0

    def quote(self, customer: str, sku: str, revision: int) -> dict[str, float]:
        key = (customer, sku, revision)  # LEAK
        if key in self._entries:
            self.hits += 1
            return self._entries[key]
        price = self.compute(customer, sku, revision)
        self._entries[key] = price  # LEAK
        return price

    def compute(self, customer: str, sku: str, revision: int) -> dict[str, float]:
        digest = hashlib.pbkdf2_hmac(
            "sha256", sku.encode(), customer.encode(), 300 + revision % 7
        )
        net = int.from_bytes(digest[:4], "big") / 1e6  # LEAK
        return {"net": net, "gross": net * 1.19, "discount": net * 0.03}  # LEAK


PRICES = PriceCache()
RANDOM = random.Random(11)


def step(i: int) -> float:
    customer = f"customer-{RANDOM.randrange(500):05}"  # LEAK
    sku = f"sku-{RANDOM.randrange(10_000):06}"  # LEAK
    quote = PRICES.quote(customer, sku, i)
    return quote["gross"] - quote["discount"]
