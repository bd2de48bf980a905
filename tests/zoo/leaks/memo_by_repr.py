"""Arguments are dicts, hence unhashable, so the memo is keyed by their ``repr``.

The arguments include a request number: each key is new.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

EXPECT = {
    "verdict": "leak",
    "sites": ["wrapper", "shipping_rates"],
    "owner": None,
    "pattern": "unbounded-cache",
    "habit": "dict-as-cache",
    "bytes_per_call": (270, 840),
}


def memoise(function: Callable[..., Any]) -> Callable[..., Any]:
    results: dict[str, Any] = {}

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        key = repr(args)  # LEAK
        if key not in results:
            results[key] = function(*args)  # LEAK
        return results[key]

    return wrapper


@memoise
def shipping_rates(parcel: dict[str, int]) -> list[float]:
    volume = parcel["width"] * parcel["height"] * parcel["depth"]
    rates = [volume / 5000 * zone + parcel["grams"] / 1000 for zone in range(1, 900)]
    return [round(rate, 2) for rate in rates[:8]]  # LEAK


def step(i: int) -> float:
    parcel = {
        "width": 10 + i % 30,
        "height": 20,
        "depth": 15 + i % 7,
        "grams": 500,
        "request": i,
    }
    return sum(shipping_rates(parcel)) + sum(shipping_rates(parcel))
