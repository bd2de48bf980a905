"""The collector is off "for latency", and each parsed document is a cycle."""

from __future__ import annotations

import gc

EXPECT = {
    "verdict": "leak",
    "sites": ["append", "parse", "__init__"],
    "owner": None,
    "pattern": "cycle",
    "habit": "cycle-without-collector",
    "bytes_per_call": (3400, 12000),
}

gc.disable()


class Node:
    def __init__(self, tag: str, parent: Node | None = None) -> None:
        self.tag = tag
        self.parent = parent
        self.text = ""
        self.children: list[Node] = []  # LEAK

    def append(self, tag: str) -> Node:
        child = Node(tag, self)  # LEAK
        self.children.append(child)  # LEAK
        return child


def parse(source: str) -> Node:
    root = node = Node("root")  # LEAK
    for token in source.replace("<", " <").split():  # LEAK
        if token.startswith("</"):
            node = node.parent or root
        elif token.startswith("<"):
            node = node.append(token[1:-1])  # LEAK
        else:
            node.text += token  # LEAK
    return root


def depth(node: Node) -> int:
    return 1 + max((depth(child) for child in node.children), default=0)


def step(i: int) -> int:
    items = "".join(f"<li> <b> item{i + n} </b> </li>" for n in range(12))
    source = f"<ul> {items} </ul>"
    tree = parse(source)
    return sum(depth(tree) for _ in range(30))
