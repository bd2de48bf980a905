"""Look at what was born in a large heap, against tools that look at all of it.

Ours is the look of a newborn window: collect, list and count what was born since
the heap was frozen. The peers do what their manuals say to find growth. Each runs
in a fresh process on the same heap; a peer's first look is not counted.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Item, Row, at_most, build_heap, in_child, main, timed

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "newborn look"
BUDGET = "28,000 new objects: 10 ms, and 1.2x of that at twice the heap"

_NEWBORN = 28_000
_MILLION = 1_000_000
#: Peers, by the module they need; the last two take 2 to 12 µs per object.
_PEERS = {
    "objgraph.growth": "objgraph",
    "guppy hpy().heap": "guppy",
    "pympler SummaryTracker": "pympler",
}


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Look in heaps of 1, 4 and 8 million objects."""
    sizes = (_MILLION, 4 * _MILLION, 8 * _MILLION)
    ours = {size: _milliseconds("leakguard", size) for size in sizes}
    rows = [at_most(f"in {_told(size)}", ours[size], "ms", 10) for size in sizes]
    growth = ours[sizes[2]] / ours[sizes[1]]
    rows.append(at_most("8 M against 4 M", growth, "x", 1.2))
    traced = _milliseconds("leakguard, tracing", sizes[1])
    rows.append(Row("in 4 M objects, with their blocks by line", traced, "ms"))
    compared = sizes[:1] if quick else sizes[:2]
    rows += [
        Row(f"in {_told(size)}", ours[size], "ms", peer, _milliseconds(peer, size))
        for size in compared
        for peer, module in _PEERS.items()
        if importlib.util.find_spec(module)
    ]
    return rows


def _told(size: int) -> str:
    return f"{size // _MILLION} M objects"


def _milliseconds(tool: str, size: int) -> float:
    return float(in_child("newborn_look", "measure", tool, size)) * 1000


def measure(tool: str, size: int) -> float:
    """Return the processor seconds of one look. Runs in a child."""
    heap = build_heap(size)
    look, rounds = _prepared(tool)
    born = [Item(number) for number in range(_NEWBORN // 4)]
    seconds = timed(look, rounds)
    del born, heap
    return seconds


def _prepared(tool: str) -> tuple[Callable[[], Any], int]:
    """Return the look, ready to be taken, and how often to take it."""
    if tool == "leakguard":
        return _newborn_look(), 7
    if tool == "leakguard, tracing":
        return _traced_look(), 7
    if tool.startswith("objgraph"):
        import objgraph

        objgraph.growth()
        return objgraph.growth, 1
    if tool.startswith("guppy"):
        from guppy import hpy

        session = hpy()
        session.setrelheap()
        return session.heap, 1
    from pympler.tracker import SummaryTracker

    return SummaryTracker().diff, 1


def _newborn_look() -> Callable[[], dict[str, int]]:
    from leakguard._readers.heap import freeze, live_type_counts

    if not freeze():
        raise SystemExit("this interpreter cannot freeze its heap")

    def look() -> dict[str, int]:
        gc.collect()
        return live_type_counts()

    return look


def _traced_look() -> Callable[[], object]:
    """Return the whole look of a window: objects by type and blocks by line."""
    from leakguard._readers.tracing import read_traces

    look = _newborn_look()
    tracemalloc.start(1)
    return lambda: (look(), read_traces().by_frame())


if __name__ == "__main__":
    main(NAME, BUDGET, run)
