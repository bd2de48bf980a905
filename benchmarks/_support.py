"""What the benchmarks share: rows, child processes, heaps, sizes, a table."""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).resolve().parents[1]
#: The heaps of a benchmark repeat exactly.
_SEED = 20_260_101


class Row(NamedTuple):
    """One comparison: our figure, a peer's, and whether the budget is met.

    ``peer`` and ``theirs`` are ``None`` without a peer; ``met`` is ``None`` for a
    figure that is told and not judged.
    """

    what: str
    ours: float
    unit: str
    peer: str | None = None
    theirs: float | None = None
    budget: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """How many times ours goes into theirs: above 1, we are the smaller one."""
        if self.theirs is None or not self.ours:
            return None
        return self.theirs / self.ours


def against(  # noqa: PLR0913 - a row, with its budget as a number
    what: str, ours: float, unit: str, peer: str, theirs: float, at_least: float
) -> Row:
    """Return a row whose budget is a ratio to the peer."""
    met = theirs >= ours * at_least
    return Row(what, ours, unit, peer, theirs, f">= {at_least:g}x", met)


def at_most(what: str, ours: float, unit: str, most: float) -> Row:
    """Return a row whose budget is a bound."""
    return Row(what, ours, unit, budget=f"<= {most:g} {unit}", met=ours <= most)


def in_child(
    module: str, function: str, *arguments: object, options: tuple[str, ...] = ()
) -> Any:  # noqa: ANN401 - whatever the function returns, by way of JSON
    """Return what a benchmark's function returns in a fresh interpreter."""
    code = (
        "import importlib, json, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"module = importlib.import_module('benchmarks.{module}')\n"
        f"found = module.{function}(*json.loads({json.dumps(arguments)!r}))\n"
        "print(json.dumps(found))\n"
    )
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def timed(action: Callable[[], object], rounds: int = 1) -> float:
    """Return the least processor seconds of ``rounds`` runs, without freeing."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        result = action()
        best = min(best, time.process_time() - started)
        del result
    return best


class Item:
    """What a heap's records are: an instance with a few containers of its own."""

    def __init__(self, number: int) -> None:
        self.name = f"item {number}"
        self.tags = [number]
        self.fields = {"number": number, "tags": self.tags}
        self.pair = (self.tags, self.fields)


def build_heap(objects: int) -> list[object]:
    """Return a heap of about so many objects that the collector sees."""
    kinds = [type(f"Item{number}", (Item,), {}) for number in range(100)]
    pick = random.Random(_SEED).choice
    gc.disable()
    try:
        heap: list[object] = []
        # Four or five each: from CPython 3.11 on, an instance has no dict yet.
        each = 5 if sys.version_info < (3, 11) else 4
        heap.extend(pick(kinds)(number) for number in range(objects // each))
    finally:
        gc.enable()
    gc.collect()
    return heap


def kept_bytes(*roots: object) -> int:
    """Return the size of the objects and of all that they alone lead to."""
    seen: dict[int, object] = {}
    todo = list(roots)
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, (type, ModuleType)) or callable(item):
            continue
        seen[id(item)] = item
        todo += gc.get_referents(item)
    return sum(map(sys.getsizeof, seen.values()))


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def peak_resident_bytes() -> int:
    """Return the most resident memory this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def show(title: str, budget: str, rows: Iterable[Row]) -> None:
    """Print the rows as a table under their title."""
    from leakguard._render.table import table

    headers = ("what", "leakguard", "peer", "theirs", "ratio", "budget", "")
    verdicts = {True: "met", False: "MISSED", None: ""}
    cells = [
        (
            row.what,
            _amount(row.ours, row.unit),
            row.peer or "",
            "" if row.theirs is None else _amount(row.theirs, row.unit),
            "" if row.ratio is None else f"{_number(row.ratio)}x",
            row.budget,
            verdicts[row.met],
        )
        for row in rows
    ]
    print(f"\n{title}\n  {budget}\n")
    print(table(headers, cells, "<><>><<"))


def _amount(value: float, unit: str) -> str:
    from leakguard._core.units import format_bytes

    return format_bytes(value) if unit == "B" else f"{_number(value)} {unit}"


def _number(value: float) -> str:
    whole = abs(value) >= 100 or value == int(value)
    return f"{value:,.0f}" if whole else f"{value:.3g}"


def main(name: str, budget: str, run: Callable[[bool], list[Row]]) -> None:
    """Run one benchmark as a script."""
    show(name, budget, run("--quick" in sys.argv[1:]))
