"""Look at containers followed by name, and find them by a walk from the roots.

A look asks each path for its length; nothing of the containers is kept in between.
objgraph has no such thing, so its count of all types stands beside the look: what one
would have to do to see a container's entries grow.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Row, at_most, build_heap, in_child, main, timed

NAME = "containers by name"
BUDGET = "a look at 200 of them: 1 ms"

_FOLLOWED = 200
_HEAP = 1_000_000


class Store:
    """An object with a container, as applications have them."""

    def __init__(self) -> None:
        self.entries = {number: [number] for number in range(3_000)}


def run(quick: bool) -> list[Row]:  # noqa: ARG001, FBT001 - every benchmark's signature
    """Look in a heap of 1 million objects."""
    look, walk, followed, peer = in_child("container_look", "measure")
    rows = [
        at_most(f"look at {followed} containers", look * 1000, "ms", 1.0),
        Row("walk to find them, now and then", walk * 1000, "ms"),
    ]
    if peer is not None:
        name = "objgraph.typestats"
        rows.append(Row("look, in a 1 M heap", look * 1000, "ms", name, peer * 1000))
    return rows


def measure() -> tuple[float, float, int, float | None]:
    """Return the seconds of a look and a walk, how many, and objgraph's seconds."""
    from leakguard._runtime.places import Places

    heap = build_heap(_HEAP)
    for number in range(_FOLLOWED):
        module = ModuleType(f"shop_{number}")
        module.STORE = Store()  # type: ignore[attr-defined]
        sys.modules[module.__name__] = module
    places = Places()
    begun = time.process_time()
    places.walk()
    walk = time.process_time() - begun
    look = timed(places.look, 20)
    peer = None
    if importlib.util.find_spec("objgraph"):
        import objgraph

        peer = timed(objgraph.typestats)
    del heap
    return look, walk, len(places), peer


if __name__ == "__main__":
    main(NAME, BUDGET, run)
