"""Each request builds a tree with parent links, freed when the collector runs."""

from __future__ import annotations

EXPECT = {"verdict": {"steady", "load"}}


class Element:
    def __init__(self, name: str, parent: Element | None) -> None:
        self.name = name
        self.parent = parent
        self.attributes = {"id": name, "class": "row"}
        self.children: list[Element] = []
        if parent is not None:
            parent.children.append(self)

    def count(self) -> int:
        return 1 + sum(child.count() for child in self.children)


def build(rows: int, columns: int) -> Element:
    table = Element("table", None)
    for r in range(rows):
        row = Element(f"row{r}", table)
        for c in range(columns):
            Element(f"cell{r}.{c}", row)
    return table


def step(i: int) -> int:
    return build(rows=6 + i % 5, columns=5).count()
