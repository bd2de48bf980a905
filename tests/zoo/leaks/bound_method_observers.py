"""Short-lived charts observe a long-lived model through bound methods.

Charts detach when closed by the user; those replaced by a newer chart never do.
"""

from __future__ import annotations

from collections.abc import Callable

EXPECT = {
    "verdict": "leak",
    "sites": ["attach", "__init__", "redraw", "show"],
    "owner": "MODEL.observers",
    "pattern": "listener",
    "habit": "bound-method-listener",
    "bytes_per_call": (2100, 6100),
}


class Model:
    def __init__(self, size: int) -> None:
        self.values = [0.0] * size
        self.observers: set[Callable[[int], None]] = set()

    def attach(self, observer: Callable[[int], None]) -> None:
        self.observers.add(observer)  # LEAK

    def detach(self, observer: Callable[[int], None]) -> None:
        self.observers.discard(observer)

    def update(self, index: int, value: float) -> None:
        self.values[index % len(self.values)] = value


class Chart:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.points: list[float] = []
        model.attach(self.on_change)  # LEAK

    def on_change(self, index: int) -> None:
        self.points[index] = self.model.values[index]

    def redraw(self) -> None:
        peak = max(self.model.values) or 1.0
        self.points = [value / peak for value in self.model.values]  # LEAK

    def close(self) -> None:
        self.model.detach(self.on_change)


MODEL = Model(size=150)


def show(frame: int) -> float:
    chart = Chart(MODEL)  # LEAK
    for n in range(60):
        MODEL.update(frame + n, float(frame * n % 89))
        chart.redraw()
    if frame % 3 == 0:
        chart.close()
    return sum(chart.points)


def step(i: int) -> float:
    return show(i)
