"""Per-tenant state is made at a tenant's first request; there are 400 tenants."""

from __future__ import annotations

import random

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(41)
TENANTS = [f"tenant-{n:03}" for n in range(400)]


class TenantState:
    def __init__(self, name: str) -> None:
        self.name = name
        self.flags = {f"flag{n}": (hash_of(name) >> n) & 1 for n in range(32)}
        self.requests = 0


def hash_of(text: str) -> int:
    value = 5381
    for character in text:
        value = (value * 33 + ord(character)) & 0xFFFFFFFF
    return value


class Registry:
    def __init__(self) -> None:
        self._states: dict[str, TenantState] = {}

    def state(self, name: str) -> TenantState:
        if name not in self._states:
            self._states[name] = TenantState(name)
        return self._states[name]


REGISTRY = Registry()


def step() -> int:
    state = REGISTRY.state(TENANTS[int(RANDOM.betavariate(1, 3) * 400)])
    state.requests += 1
    return sum(state.flags.values())
