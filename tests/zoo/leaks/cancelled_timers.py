"""A timer wheel on ``heapq``: cancelled timers are flagged, and popped when due.

Request timeouts lie an hour ahead and are always cancelled, so none is due.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

EXPECT = {
    "verdict": "leak",
    "sites": ["call_later", "handle", "__init__"],
    "owner": "CLOCK._heap",
    "pattern": "registry",
    "habit": "append-only",
    "bytes_per_call": (230, 910),
}


class Timer:
    def __init__(self, due: int, action: Callable[[], None]) -> None:
        self.due = due
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class LogicalClock:
    def __init__(self) -> None:
        self.now = 0
        self._order = count()
        self._heap: list[tuple[int, int, Timer]] = []

    def call_later(self, delay: int, action: Callable[[], None]) -> Timer:
        timer = Timer(self.now + delay, action)  # LEAK
        heapq.heappush(self._heap, (timer.due, next(self._order), timer))  # LEAK
        return timer

    def advance(self) -> None:
        self.now += 1
        while self._heap and self._heap[0][0] <= self.now:
            timer = heapq.heappop(self._heap)[2]
            if not timer.cancelled:
                timer.action()


CLOCK = LogicalClock()


class Request:
    def __init__(self, number: int) -> None:
        self.number = number
        self.state = "open"

    def abort(self) -> None:
        self.state = "aborted"


def handle(number: int) -> int:
    request = Request(number)  # LEAK
    timer = CLOCK.call_later(3_600_000_000, request.abort)  # LEAK
    CLOCK.call_later(1 + number % 3, lambda: None)
    squares = [n * n % 101 for n in range(600)]
    timer.cancel()
    CLOCK.advance()
    return sum(squares)


def step(i: int) -> int:
    return handle(i)
