"""A signal in the manner of blinker, connected with ``weak=False`` per request.

The receivers are closures over the request, and the signal outlives them all.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import count

EXPECT = {
    "verdict": "leak",
    "sites": ["connect", "handle", "build_request"],
    "owner": "request_finished.receivers",
    "pattern": "listener",
    "habit": "listener",
    "bytes_per_call": (510, 1700),
}

_ids = count()


class Signal:
    def __init__(self, name: str) -> None:
        self.name = name
        self.receivers: dict[int, object] = {}

    def connect(self, receiver: Callable, *, weak: bool = True) -> Callable:
        key = next(_ids)
        if weak:
            self.receivers[key] = weakref.ref(
                receiver, lambda _: self.receivers.pop(key, None)
            )
        else:
            self.receivers[key] = receiver  # LEAK
        return receiver

    def send(self, sender: object, **kwargs: object) -> list:
        results = []
        for receiver in list(self.receivers.values()):
            target = receiver() if isinstance(receiver, weakref.ref) else receiver
            if target is not None:
                results.append((target, target(sender, **kwargs)))
        return results


request_started = Signal("request-started")
request_finished = Signal("request-finished")


def build_request(number: int) -> dict[str, object]:
    headers = {"x-request-id": f"req-{number:08}", "accept": "text/html"}  # LEAK
    return {"path": f"/items/{number}", "headers": headers}  # LEAK


def parse_cookies(raw: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in raw.split("; "))


def handle(number: int) -> int:
    request = build_request(number)
    events: list[str] = []  # LEAK

    def on_finished(_sender: object, **_kwargs: object) -> None:  # LEAK
        events.append(str(request["path"]))

    request_finished.connect(on_finished, weak=False)
    request_started.send(request, number=number)
    raw = "; ".join(f"k{n}=v{n * number}" for n in range(400))
    return len(parse_cookies(raw))


def step(i: int) -> int:
    return handle(i)
