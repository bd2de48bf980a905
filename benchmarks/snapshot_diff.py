"""Two snapshots of a traced heap and their difference, against tracemalloc's own.

Ours counts all live objects as well, as ``leakguard.snapshot()`` does. Each side
runs in a fresh process on the same heap.
"""

from __future__ import annotations

import functools
import gc
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import (
    Row,
    against,
    in_child,
    kept_bytes,
    main,
    peak_resident_bytes,
    resident_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "two snapshots and their diff"
BUDGET = (
    "1 M live blocks, tracing on: in all 3x at 1 frame, 4.5x at 10; the diff 100x; "
    "a kept snapshot 1/50 of the memory"
)

_PEER = "tracemalloc"
#: What a heap comes from, and what of it a leak grows.
_LINES, _GROWING_LINES = 2_000, 100


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Compare at 1 and 10 frames."""
    blocks = 200_000 if quick else 1_000_000
    rows: list[Row] = []
    for nframe, in_all in ((1, 3.0), (10, 4.5)):
        ours, theirs = (
            in_child("snapshot_diff", "measure", side, nframe, blocks)
            for side in ("leakguard", "tracemalloc")
        )
        rows += _rows(nframe, in_all, ours, theirs)
    # The cost of ours goes with the stacks: a small heap has as many of them.
    return [row._replace(budget="", met=None) for row in rows] if quick else rows


def _rows(
    nframe: int, in_all: float, ours: dict[str, Any], theirs: dict[str, Any]
) -> list[Row]:
    blocks, stacks = ours["blocks"], ours["stacks"]
    at = f"{nframe} frame{'s' * (nframe > 1)}"

    def row(what: str, key: str, unit: str, at_least: float) -> Row:
        return against(f"{at}: {what}", ours[key], unit, _PEER, theirs[key], at_least)

    return [
        row(f"{blocks:,} blocks of {stacks:,} stacks, in all", "total", "s", in_all),
        row("the diff", "diff", "s", 100),
        row("a kept snapshot", "kept", "B", 50),
        Row(
            f"{at}: most extra memory at once",
            ours["peak"],
            "B",
            _PEER,
            theirs["peak"],
        ),
    ]


def measure(side: str, nframe: int, blocks: int) -> dict[str, Any]:
    """Return seconds and bytes of one side, in a call as deep as an application's."""
    found: dict[str, Any] = _below(
        12, functools.partial(_measure, side, nframe), blocks
    )
    return found


def _measure(side: str, nframe: int, blocks: int) -> dict[str, Any]:
    take, compare = _side(side)
    tracemalloc.start(nframe)
    heap = _allocate(blocks)
    gc.collect()
    take()  # what is imported and cached at first does not count
    resident = resident_bytes()
    clock = time.process_time
    begun = clock()
    before = take()
    first_seconds = clock() - begun
    heap += _allocate(blocks // 50, _GROWING_LINES)
    begun = clock()
    after = take()
    taken = clock()
    difference = compare(after, before)
    compared = clock()
    peak = peak_resident_bytes() - resident
    del difference, before
    return {
        **_live(),
        "total": first_seconds + compared - begun,
        "diff": compared - taken,
        "kept": kept_bytes(after),
        "peak": peak,
    }


def _side(side: str) -> tuple[Callable[[], Any], Callable[[Any, Any], Any]]:
    if side == "tracemalloc":
        return tracemalloc.take_snapshot, lambda new, old: new.compare_to(old, "lineno")
    from leakguard import snapshot

    return snapshot, lambda new, old: new.since(old)


def _live() -> dict[str, int]:
    from leakguard._readers.tracing import NOTHING, read_traces

    traces = read_traces(skip=NOTHING)
    return {"blocks": traces.total_count, "stacks": len(traces.stacks)}


@functools.cache
def _functions() -> list[Callable[[int], list[object]]]:
    """Return functions that allocate, each at a line of its own."""
    source = "\n".join(
        f"def f{number}(count): return [bytearray(n % 1000) for n in range(count)]"
        for number in range(_LINES)
    )
    namespace: dict[str, Any] = {}
    exec(compile(source, "application.py", "exec"), namespace)
    return [namespace[f"f{number}"] for number in range(_LINES)]


def _below(depth: int, function: Callable[[int], Any], count: int) -> Any:  # noqa: ANN401
    return _below(depth - 1, function, count) if depth else function(count)


def _allocate(blocks: int, lines: int = _LINES) -> list[object]:
    """Return so many blocks, from lines at different depths of the stack."""
    each = max(1, blocks // lines // 2)  # an object and its buffer
    return [
        _below(number % 12, function, each)
        for number, function in enumerate(_functions()[:lines])
    ]


if __name__ == "__main__":
    main(NAME, BUDGET, run)
