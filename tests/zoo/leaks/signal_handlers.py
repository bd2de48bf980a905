"""A handler of price signals keeps the result of each: a store, whatever it is called.

Neither the module's name nor that of the object says what is kept.
"""

from __future__ import annotations

import json

EXPECT = {
    "verdict": "leak",
    "sites": ["handle", "step"],
    "owner": "SIGNAL_HANDLER.results",
    "pattern": "unbounded-cache",
    "habit": "dict-as-cache",
    "bytes_per_call": (250, 1200),
}


class SignalHandler:
    def __init__(self) -> None:
        self.results: dict[str, dict[str, object]] = {}

    def handle(self, number: int) -> dict[str, object]:
        result = {"id": f"signal-{number}", "price": number * 1.1}  # LEAK
        self.results[str(result["id"])] = result  # LEAK
        return result


SIGNAL_HANDLER = SignalHandler()


def step(i: int) -> int:
    return len(json.dumps(SIGNAL_HANDLER.handle(i)))  # LEAK
