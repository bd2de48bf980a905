"""Preferences in a dict per user in a dict per tenant; anonymous users pile up."""

from __future__ import annotations

import random

EXPECT = {
    "verdict": "leak",
    "sites": ["preferences", "visit", "anonymous_user", "step"],
    "owner": "STORE.tenants",
    "pattern": "unbounded-cache",
    "habit": "dict-as-cache",
    "bytes_per_call": (180, 670),
}

RANDOM = random.Random(71)


class PreferenceStore:
    def __init__(self) -> None:
        self.tenants: dict[str, dict[str, dict[str, str]]] = {}

    def preferences(self, tenant: str, user: str) -> dict[str, str]:
        users = self.tenants.setdefault(tenant, {})
        if user not in users:
            users[user] = {"theme": "auto", "density": "cosy"}  # LEAK
        return users[user]


STORE = PreferenceStore()


def anonymous_user() -> str:
    return f"anon-{RANDOM.getrandbits(48):012x}"  # LEAK


def visit(tenant: str, user: str) -> str:
    chosen = STORE.preferences(tenant, user)
    chosen["last_page"] = f"/p/{RANDOM.randrange(10_000)}"  # LEAK
    styles = [
        f"--{key}-{n}: {value};" for n in range(80) for key, value in chosen.items()
    ]
    return "".join(styles)


def step(i: int) -> int:
    tenant = f"tenant{i % 12}"
    return len(visit(tenant, anonymous_user()))  # LEAK
