"""A service that still runs with the collector's debugging turned on."""

from __future__ import annotations

import gc

EXPECT = {
    "verdict": "leak",
    "sites": ["__init__", "parse"],
    "owner": "gc.garbage",
    "pattern": "cycle",
    "habit": "saved-garbage",
    "bytes_per_call": (1000, 3000),
}

gc.set_debug(gc.DEBUG_SAVEALL)


class Node:
    __slots__ = ("children", "parent", "text")

    def __init__(self, parent: Node | None, text: str) -> None:
        self.parent = parent
        self.text = text
        self.children: list[Node] = []  # LEAK
        if parent is not None:
            parent.children.append(self)


def parse(number: int) -> Node:
    root = Node(None, f"document {number} " + "-" * 500)  # LEAK
    for part in range(4):
        Node(root, f"part {part} of {number}")  # LEAK
    return root


def step(i: int) -> int:
    return len(parse(i).children)
