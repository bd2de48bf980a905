"""Generated code is put into ``linecache`` so that its tracebacks show source lines.

Each generated function gets a file name of its own, and the entries stay.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from itertools import count

EXPECT = {
    "verdict": "leak",
    "sites": ["compile_rule", "remember", "source_of"],
    "owner": "linecache.cache",
    "pattern": "unbounded-cache",
    "habit": "source-cache",
    "bytes_per_call": (400, 1200),
}

_numbers = count()


def source_of(limits: list[int]) -> str:
    lines = ["def rule(value):"]
    lines += [f"    if value < {limit}: return {n}" for n, limit in enumerate(limits)]
    return "\n".join([*lines, "    return -1", ""])


def remember(filename: str, source: str) -> None:
    lines = source.splitlines(keepends=True)  # LEAK
    linecache.cache[filename] = (len(source), None, lines, filename)  # LEAK


def compile_rule(limits: list[int]) -> Callable[[int], int]:
    filename = f"<rule {next(_numbers)}>"  # LEAK
    source = source_of(limits)
    remember(filename, source)
    namespace: dict[str, Callable[[int], int]] = {}
    exec(compile(source, filename, "exec"), namespace)
    return namespace["rule"]


def step(i: int) -> int:
    rule = compile_rule([10 + i % 7, 40, 90, 200])
    return sum(rule(n) for n in range(1000))
