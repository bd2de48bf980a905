"""``items = []`` in the class body: all baskets share one list that only grows."""

from __future__ import annotations

import decimal
import random

EXPECT = {
    "verdict": "leak",
    "sites": ["add", "shop", "__init__"],
    "owner": "Basket.items",
    "pattern": "registry",
    "habit": "class-attribute",
    "bytes_per_call": (440, 1600),
}

RANDOM = random.Random(64)


class Item:
    def __init__(self, sku: str, price: decimal.Decimal) -> None:
        self.sku = sku
        self.price = price


class Basket:
    items: list[Item] = []

    def __init__(self, customer: int) -> None:
        self.customer = customer
        self.total = decimal.Decimal(0)

    def add(self, sku: str, price: decimal.Decimal) -> None:
        self.items.append(Item(sku, price))  # LEAK
        self.total += price


def shop(customer: int) -> decimal.Decimal:
    basket = Basket(customer)
    for _ in range(3):
        cents = RANDOM.randrange(100, 9999)
        price = decimal.Decimal(cents) / 100  # LEAK
        basket.add(f"sku-{cents}", price)  # LEAK
    shipping = [basket.total * rate / 100 for rate in range(200)]
    return max(shipping)


def step(i: int) -> decimal.Decimal:
    return shop(i)
