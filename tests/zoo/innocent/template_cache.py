"""A small template engine that keeps its 400 compiled templates by name."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(400)
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
SOURCES = {
    f"page{n}.html": f"<h1>{{{{ title }}}}</h1><p>{n}: {{{{ body }}}}</p>" * 3
    for n in range(400)
}

Render = Callable[[dict[str, str]], str]


class Engine:
    def __init__(self) -> None:
        self._compiled: dict[str, Render] = {}

    def compile(self, source: str) -> Render:
        parts = PLACEHOLDER.split(source)
        code = [
            f"values[{part!r}]" if n % 2 else repr(part) for n, part in enumerate(parts)
        ]
        return eval(f"lambda values: ''.join([{', '.join(code)}])")

    def render(self, name: str, **values: str) -> str:
        if name not in self._compiled:
            self._compiled[name] = self.compile(SOURCES[name])
        return self._compiled[name](values)


ENGINE = Engine()


def step(i: int) -> int:
    name = f"page{min(399, int(RANDOM.expovariate(1 / 90)))}.html"
    return len(ENGINE.render(name, title=f"Page {i}", body="text " * 20))
