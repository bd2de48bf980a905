"""Each request builds a view that subscribes to the application's event bus.

Nothing ever unsubscribes, so the bus keeps every view and the order it shows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable

EXPECT = {
    "verdict": "leak",
    "sites": ["subscribe", "__init__", "load_order", "step"],
    "owner": "BUS._listeners",
    "pattern": "listener",
    "habit": "bound-method-listener",
    "bytes_per_call": (690, 2500),
}


class EventBus:
    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[dict], None]]] = defaultdict(list)

    def subscribe(self, topic: str, listener: Callable[[dict], None]) -> None:
        self._listeners[topic].append(listener)  # LEAK

    def publish(self, topic: str, event: dict) -> None:
        for listener in self._listeners.get(topic, ()):
            listener(event)


BUS = EventBus()


def load_order(order_id: int) -> dict:
    return {  # LEAK
        "id": order_id,
        "status": "new",
        "lines": [  # LEAK
            {"sku": f"SKU-{order_id % 97:04}-{n}", "quantity": n + 1}  # LEAK
            for n in range(3)
        ],
    }


class OrderView:
    def __init__(self, order_id: int) -> None:
        self.order = load_order(order_id)
        self.stale = False
        BUS.subscribe("order.updated", self.on_update)  # LEAK

    def on_update(self, event: dict) -> None:
        self.stale = self.stale or event["id"] == self.order["id"]

    def render(self) -> str:
        page = json.dumps(self.order, indent=2)
        rows = [line.strip() for line in page.splitlines()]
        return "\n".join(f"<td>{row}</td>" for row in rows * 50)


def step(i: int) -> int:
    view = OrderView(i)  # LEAK
    BUS.publish("page.viewed", {"id": i})
    return len(view.render())
