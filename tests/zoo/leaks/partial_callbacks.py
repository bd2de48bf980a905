"""A scheduler keeps one ``functools.partial`` per reminder "until shutdown"."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable

EXPECT = {
    "verdict": "leak",
    "sites": ["remind", "on_shutdown", "ticket", "step"],
    "owner": "SCHEDULER.at_shutdown",
    "pattern": "listener",
    "habit": "listener",
    "bytes_per_call": (450, 1400),
}


def send_mail(address: str, body: bytes, *, urgent: bool) -> int:
    return len(address) + len(body) + urgent


class Scheduler:
    def __init__(self) -> None:
        self.at_shutdown: list[Callable[[], int]] = []

    def on_shutdown(self, action: Callable[[], int]) -> None:
        self.at_shutdown.append(action)  # LEAK

    def remind(self, address: str, body: bytes) -> None:
        action = functools.partial(send_mail, address, body, urgent=False)  # LEAK
        self.on_shutdown(action)


SCHEDULER = Scheduler()


def ticket(number: int) -> bytes:
    noise = bytes((number * n) % 256 for n in range(240))
    return base64.b64encode(noise)  # LEAK


def step(i: int) -> int:
    body = ticket(i)
    SCHEDULER.remind(f"user{i}@example.org", body)  # LEAK
    lines = [base64.b64decode(body) for _ in range(200)]
    return sum(map(len, lines))
