"""A greenlet for each guest waits until the party is over, which it never is."""

from __future__ import annotations

import hashlib

import gevent
from gevent.event import Event

EXPECT = {
    "verdict": "leak",
    "sites": ["wait", "arrive", "step"],
    "owner": "PARTY.over",
    "pattern": "task",
    "habit": "pending-task",
    "needs": "gevent",
    "bytes_per_call": (1000, 12000),
}


class Party:
    def __init__(self) -> None:
        self.over = Event()

    def wait(self, guest: int) -> int:
        wishes = [f"{guest}: song {number}" for number in range(12)]  # LEAK
        self.over.wait()  # LEAK
        return len(wishes)

    def arrive(self, guest: int) -> None:
        gevent.spawn(self.wait, guest)  # LEAK
        gevent.sleep(0)


PARTY = Party()


def step(i: int) -> str:
    PARTY.arrive(i)  # LEAK
    return hashlib.sha256(b"%d" % i * 500).hexdigest()
