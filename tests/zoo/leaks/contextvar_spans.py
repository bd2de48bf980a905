"""Tracing spans are entered through a ContextVar and never reset on early return.

Each new span takes the current one as its parent, so one chain holds all of them.
"""

from __future__ import annotations

import contextvars

EXPECT = {
    "verdict": "leak",
    "sites": ["start_span", "__init__", "lookup", "set_attribute", "step"],
    "owner": None,
    "pattern": None,
    "bytes_per_call": (190, 760),
}


class Span:
    def __init__(self, name: str, parent: Span | None) -> None:
        self.name = name
        self.parent = parent
        self.attributes: dict[str, object] = {}  # LEAK

    def set_attribute(self, key: str, value: object) -> None:
        self.attributes[key] = value  # LEAK


current_span: contextvars.ContextVar[Span | None] = contextvars.ContextVar(
    "current_span", default=None
)


def start_span(name: str) -> tuple[Span, contextvars.Token[Span | None]]:
    span = Span(name, current_span.get())  # LEAK
    return span, current_span.set(span)


class Directory:
    def __init__(self) -> None:
        self.people = {f"person{n}": n * 17 % 113 for n in range(1000)}

    def lookup(self, name: str) -> int | None:
        span, token = start_span("directory.lookup")
        span.set_attribute("name", name)  # LEAK
        if name not in self.people:
            return None
        ranked = sorted(self.people.values(), reverse=True)
        rank = ranked.index(self.people[name])
        current_span.reset(token)
        return rank


DIRECTORY = Directory()


def step(i: int) -> int:
    found = [DIRECTORY.lookup(f"person{(i + n) % 1002}") for n in range(3)]
    DIRECTORY.lookup(f"guest{i}")  # LEAK
    return sum(rank or 0 for rank in found)
