"""A component tree lists weak references to its widgets, and never prunes dead ones."""

from __future__ import annotations

import weakref

EXPECT = {
    "verdict": "leak",
    "sites": ["add", "build", "__init__"],
    "owner": "WINDOW._children",
    "pattern": "registry",
    "habit": "dead-weakrefs",
    "bytes_per_call": (490, 1500),
}


class Widget:
    def __init__(self, parent: Window, width: int) -> None:
        self.width = width
        parent.add(self)

    def layout(self, available: int) -> int:
        return min(self.width, available) // 2 * 2


class Window:
    def __init__(self) -> None:
        self._children: list[weakref.ref[Widget]] = []
        self.painted = 0

    def add(self, widget: Widget) -> None:
        self._children.append(weakref.ref(widget))  # LEAK

    def paint(self, widgets: list[Widget]) -> int:
        self.painted += 1
        return sum(w.layout(space) for w in widgets for space in range(0, 600, 10))


WINDOW = Window()


def build(frame: int) -> list[Widget]:
    return [Widget(WINDOW, frame * n % 640) for n in range(10)]  # LEAK


def step(i: int) -> int:
    return WINDOW.paint(build(i))
