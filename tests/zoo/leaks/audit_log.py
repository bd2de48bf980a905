"""An audit trail in memory: an entry per attempt, retries too, none written out."""

from __future__ import annotations

import random
from typing import NamedTuple

EXPECT = {
    "verdict": "leak",
    "sites": ["log", "charge", "step"],
    "owner": "GATEWAY.trail.entries",
    "pattern": "registry",
    "habit": "append-only",
    "bytes_per_call": (140, 430),
}

RANDOM = random.Random(88)


class Entry(NamedTuple):
    account: str
    attempt: int
    outcome: str
    detail: str


class AuditTrail:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def log(self, account: str, attempt: int, outcome: str) -> None:
        detail = f"attempt {attempt} on {account}: {outcome}"  # LEAK
        self.entries.append(Entry(account, attempt, outcome, detail))  # LEAK


class Gateway:
    def __init__(self) -> None:
        self.trail = AuditTrail()

    def attempt(self, account: str, cents: int) -> bool:
        digits = [int(c) * (n % 2 + 1) for n, c in enumerate(account * 20)]
        return (sum(digits) + cents) % 10 != 0

    def charge(self, account: str, cents: int) -> bool:
        for attempt in range(3):
            ok = self.attempt(account, cents + attempt)
            self.trail.log(account, attempt, "ok" if ok else "declined")
            if ok:
                return True
        return False


GATEWAY = Gateway()


def step() -> bool:
    account = f"{RANDOM.randrange(10**15):016}"  # LEAK
    return GATEWAY.charge(account, RANDOM.randrange(100, 20_000))
