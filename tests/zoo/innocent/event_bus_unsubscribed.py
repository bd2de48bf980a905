"""Views subscribe to the event bus while a request lasts, and always leave it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

EXPECT = {"verdict": {"steady"}}

Listener = Callable[[dict[str, int]], None]


class EventBus:
    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = defaultdict(list)

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        self._listeners[topic].append(listener)
        return lambda: self._listeners[topic].remove(listener)

    def publish(self, topic: str, event: dict[str, int]) -> None:
        for listener in list(self._listeners[topic]):
            listener(event)


BUS = EventBus()


class OrderView:
    def __init__(self, number: int) -> None:
        self.number = number
        self.lines = [{"sku": n, "quantity": number % (n + 1)} for n in range(20)]
        self.updates = 0
        self._leave = BUS.subscribe("order.updated", self.on_update)

    def on_update(self, event: dict[str, int]) -> None:
        self.updates += event["id"] == self.number

    def close(self) -> None:
        self._leave()


def step(i: int) -> int:
    views = [OrderView(i + n) for n in range(4)]
    try:
        BUS.publish("order.updated", {"id": i})
        return sum(view.updates for view in views)
    finally:
        for view in views:
            view.close()
