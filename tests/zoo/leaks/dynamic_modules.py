"""User scripts run as modules of their own, entered in ``sys.modules`` for pickling."""

from __future__ import annotations

import sys
import types

EXPECT = {
    "verdict": "leak",
    "sites": ["load", "run"],
    "owner": "sys.modules",
    "pattern": "registry",
    "habit": "module-per-call",
    "bytes_per_call": (1000, 5100),
}

TEMPLATE = """
RATE = {rate}

def apply(values):
    return [value * RATE + {offset} for value in values]

def describe():
    return "rule {offset}"
"""


class ScriptHost:
    def __init__(self) -> None:
        self.runs = 0

    def load(self, name: str, source: str) -> types.ModuleType:
        module = types.ModuleType(name)  # LEAK
        sys.modules[name] = module  # LEAK
        exec(compile(source, f"<{name}>", "exec"), module.__dict__)  # LEAK
        return module

    def run(self, number: int, values: list[int]) -> int:
        source = TEMPLATE.format(rate=number % 9, offset=number)
        module = self.load(f"userscript_{number}", source)  # LEAK
        self.runs += 1
        return sum(module.apply(values))


HOST = ScriptHost()


def step(i: int) -> int:
    return HOST.run(i, list(range(3000)))
