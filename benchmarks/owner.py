"""Find who holds an object of a large heap, against objgraph's search.

The objects are held as in an application: by an instance in a module, several levels
below it, and by each other. Both search in the same process, one after the other; each
target is new, so that nothing found before helps. A second thread ticks each
millisecond; its longest gap, in processor time of this process so that what else runs
on the machine does not count, is the pause that the search made.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Row, against, at_most, build_heap, in_child, main
from benchmarks.gil_hold import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "owner search"
BUDGET = (
    "5x faster than objgraph; no pause over 250 ms, and none over the one asked for"
)

_MILLION = 1_000_000
_SHORT_PAUSE_SECONDS = 0.05
_TARGETS = 3


class Order:
    """What leaks: it is held by its customer, its basket and the shop."""

    def __init__(self, number: int) -> None:
        self.number = [number]
        self.lines = {"first": [number], "order": self}


class Shop:
    """Keeps orders in two places, as applications do."""

    def __init__(self) -> None:
        self.by_number: dict[int, Order] = {}
        self.baskets = [[Order(n) for n in range(8)] for _ in range(100)]

    def keep(self, number: int) -> None:
        """Keep an order for good."""
        order = Order(number)
        self.by_number[number] = order
        self.baskets[number % 100].append(order)


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Search in a heap of 4 million objects, or of one."""
    millions = 1 if quick else 4
    size = millions * _MILLION
    default = in_child("owner", "measure", "leakguard", size)
    short = in_child("owner", "measure", "leakguard, short pause", size)
    where = f"in {millions} M objects"
    rows = [
        at_most(f"longest pause {where}", default[1], "ms", 250),
        at_most(f"longest pause {where}, 50 ms asked for", short[1], "ms", 50),
        Row(f"owners found {where}", default[2], f"of {_TARGETS}"),
        Row(f"owners found {where}, 50 ms asked for", short[2], f"of {_TARGETS}"),
        Row(f"one search {where}, 50 ms asked for", short[0], "s"),
    ]
    if importlib.util.find_spec("objgraph"):
        peer = in_child("owner", "measure", "objgraph", size)
        name = "objgraph.find_backref_chain"
        searched = f"one search {where}"
        rows.append(against(searched, default[0], "s", name, peer[0], 5))
        searched = f"{searched}, by the clock"
        rows.append(against(searched, default[3], "s", name, peer[3], 5))
        rows.append(Row(f"longest pause {where}", default[1], "ms", name, peer[1]))
    return rows


def measure(tool: str, objects: int) -> tuple[float, float, int, float]:
    """Return per search processor seconds, the longest gap in ms, owners, seconds."""
    heap = build_heap(objects)
    shop = ModuleType("shop")
    sys.modules["shop"] = shop
    shop.SHOP = Shop()  # type: ignore[attr-defined]
    for number in range(10_000):
        shop.SHOP.keep(number)
    gc.collect()
    search = _SEARCHES[tool]
    ticker = Ticker(time.process_time)
    time.sleep(0.1)
    ticker.longest_seconds = 0.0
    begun, started = time.process_time(), time.perf_counter()
    found = sum(search(9_000 + at) for at in range(_TARGETS))
    seconds = (time.process_time() - begun) / _TARGETS
    took = (time.perf_counter() - started) / _TARGETS
    ticker.stop()
    del heap
    return seconds, ticker.longest_seconds * 1000, found, took


def _target(number: int) -> object:
    return sys.modules["shop"].SHOP.by_number[number].lines["first"]


def _leakguard(pause_seconds: float) -> Callable[[int], bool]:
    from leakguard._readers.paths import describe
    from leakguard._readers.search import climb

    def search(number: int) -> bool:
        chain = climb(
            _target(number),
            hidden=set(),
            out_of_time=lambda: False,
            pause_seconds=pause_seconds,
        )
        return describe(chain)[0].startswith("shop.SHOP.")

    return search


def _objgraph(number: int) -> bool:
    import objgraph

    target = _target(number)
    chain = objgraph.find_backref_chain(target, objgraph.is_proper_module)
    return len(chain) > 1


_SEARCHES: dict[str, Callable[[int], bool]] = {
    "leakguard": _leakguard(0.25),
    "leakguard, short pause": _leakguard(_SHORT_PAUSE_SECONDS),
    "objgraph": _objgraph,
}


if __name__ == "__main__":
    main(NAME, BUDGET, run)
