"""An undo stack as a linked list: each edit goes in front, nothing drops the tail."""

from __future__ import annotations

import random

EXPECT = {
    "verdict": "leak",
    "sites": ["push", "apply", "__init__"],
    "owner": "DOCUMENT.undo",
    "pattern": "other",
    "habit": "growing-chain",
    "bytes_per_call": (110, 320),
}

RANDOM = random.Random(9)


class Edit:
    __slots__ = ("before", "line", "older")

    def __init__(self, line: int, before: str, older: Edit | None) -> None:
        self.line = line
        self.before = before
        self.older = older


class UndoStack:
    def __init__(self) -> None:
        self.head: Edit | None = None
        self.size = 0

    def push(self, line: int, before: str) -> None:
        self.head = Edit(line, before, self.head)  # LEAK
        self.size += 1


class Document:
    def __init__(self, lines: int) -> None:
        self.lines = [f"line {n} " * 8 for n in range(lines)]
        self.undo = UndoStack()

    def apply(self, line: int, text: str) -> None:
        self.undo.push(line, self.lines[line])
        self.lines[line] = text.ljust(80)  # LEAK

    def render(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)


DOCUMENT = Document(lines=300)


def step(i: int) -> int:
    DOCUMENT.apply(RANDOM.randrange(300), f"edited in revision {i}")
    return len(DOCUMENT.render())
