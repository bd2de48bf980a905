"""Count all live objects by type, against ``objgraph.typestats``.

Both name types by module; objgraph does so with ``shortnames=False``, and is shown
with its short names as well. Both in one process, in turn.
"""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Row, against, build_heap, in_child, main, timed

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "census of all objects"
BUDGET = "in full 1/3 of objgraph's time, sampled 1/8"

_LONG, _SHORT = "objgraph", "objgraph, short names"


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Count a heap of 1 or 4 million objects."""
    objects = 1_000_000 if quick else 4_000_000
    plain = in_child("census", "measure", objects, 0)
    traced = in_child("census", "measure", 1_000_000, 10)
    rows = [
        _against("in full", plain, "full", _LONG, 3),
        _against("sampled", plain, "sampled", _LONG, 8),
        _told("in full", plain, "full", _SHORT),
        _told("sampled", plain, "sampled", _SHORT),
        Row("largest error in types above 1 %", plain["error"] * 100, "%"),
    ]
    rows = [row._replace(what=f"{row.what}, {objects // 10**6} M") for row in rows]
    return [*rows, _told("in full, 1 M, tracing 10 frames", traced, "full", _LONG)]


def _against(
    what: str, seconds: dict[str, float], key: str, peer: str, at_least: float
) -> Row:
    return against(what, seconds[key], "s", peer, seconds[peer], at_least)


def _told(what: str, seconds: dict[str, float], key: str, peer: str) -> Row:
    return Row(what, seconds[key], "s", peer, seconds[peer])


def measure(objects: int, nframe: int) -> dict[str, float]:
    """Return the least processor seconds of three rounds. Runs in a child."""
    import objgraph

    from leakguard._readers.heap import live_type_counts, sampled_type_counts

    heap = build_heap(objects)
    if nframe:
        tracemalloc.start(nframe)
    actions: dict[str, Callable[[], object]] = {
        "full": live_type_counts,
        "sampled": sampled_type_counts,
        _SHORT: objgraph.typestats,
        _LONG: lambda: objgraph.typestats(shortnames=False),
    }
    best = dict.fromkeys(actions, float("inf"))
    for _ in range(3):
        for name, action in actions.items():
            best[name] = min(best[name], timed(action))
    full, sampled = live_type_counts(), sampled_type_counts()
    frequent = {name: n for name, n in full.items() if n > objects / 100}
    best["error"] = max(abs(sampled.get(k, 0) - n) / n for k, n in frequent.items())
    del heap
    return best


if __name__ == "__main__":
    main(NAME, BUDGET, run)
