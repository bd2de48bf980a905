"""Each request adds a hook to a shared client, through a property that copies.

Every time a longer list takes the place of the one before, as in httpx's client.
"""

from __future__ import annotations

import json
from collections.abc import Callable

EXPECT = {
    "verdict": "leak",
    "sites": ["hooks", "step", "hook"],
    "owner": "CLIENT._hooks",
    "pattern": "listener",
    "bytes_per_call": (190, 420),
}


class Client:
    def __init__(self) -> None:
        self._hooks: dict[str, list[Callable[[dict], None]]] = {"request": []}

    @property
    def hooks(self) -> dict[str, list[Callable[[dict], None]]]:
        return self._hooks

    @hooks.setter
    def hooks(self, hooks: dict[str, list[Callable[[dict], None]]]) -> None:
        self._hooks = {"request": list(hooks["request"])}  # LEAK


CLIENT = Client()


def step(i: int) -> int:
    def hook(request: dict) -> None:  # LEAK
        request["X-Number"] = i

    hooks = CLIENT.hooks
    hooks["request"].append(hook)  # LEAK
    CLIENT.hooks = hooks
    return len(json.dumps({"number": i, "hooks": len(hooks["request"])}))
