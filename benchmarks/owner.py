"""Find who holds an object of a large heap, against objgraph's search.

The objects are held as in an application: by an instance in a module, several levels
below it, and by each other. Both search in the same process, one after the other; the
targets are like the suspects of one report: leakguard knows the roots and what a pass
over the heap takes from the first one on. A second thread ticks each millisecond; its
longest gap, in processor time of this process so that what else runs on the machine
does not count, is the pause that the search made.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

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
_TARGETS = 5
#: A leak shows in what was kept lately; the budget is for all. The first orders are in
#: one dict alone, and what is searched lies so deep in them that it takes passes.
_LATELY, _LONG_AGO, _DEEP = 9_000, 5_000, 1_000
_FIRST_IN_BASKETS, _DEPTH = 2_000, 5
_OURS, _SHORT = "leakguard", "leakguard, short pause"
_PEER = "objgraph.find_backref_chain"


class Found(NamedTuple):
    """What one tool needs for a search, its longest pause, and how many it solved."""

    cpu_seconds: float = 0.0
    seconds: float = 0.0
    pause_ms: float = 0.0
    owners: int = 0


class Order:
    """What leaks: it is held by its customer, its basket and the shop."""

    def __init__(self, number: int) -> None:
        self.number = [number]
        self.lines = {"first": [number], "order": self}


class Shop:
    """Keeps orders in two places, as applications do, and the first in one."""

    def __init__(self) -> None:
        self.by_number: dict[int, Order] = {}
        self.baskets = [[Order(n) for n in range(8)] for _ in range(100)]

    def keep(self, number: int) -> None:
        """Keep an order for good."""
        order = self.by_number[number] = Order(number)
        if number >= _FIRST_IN_BASKETS:
            self.baskets[number % 100].append(order)
        else:
            for _ in range(_DEPTH):
                order.lines["first"] = [order.lines["first"]]


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Search in a heap of 4 million objects, or of one."""
    millions = 1 if quick else 4
    rows = []
    for when, first in (
        ("lately", _LATELY),
        ("long ago", _LONG_AGO),
        ("long ago and deep", _DEEP),
    ):
        rows += _rows(f"kept {when}, {millions} M objects", first, millions * _MILLION)
    return rows


def _rows(where: str, first: int, objects: int) -> list[Row]:
    tools = [*_SEARCHES][0 if importlib.util.find_spec("objgraph") else 1 :]
    told = in_child("owner", "measure", tools, first, objects)
    of = {tool: Found(*found) for tool, found in zip(tools, told, strict=True)}
    ours, short = of[_OURS], of[_SHORT]
    rows = [
        at_most(f"longest pause, {where}", ours.pause_ms, "ms", 250),
        at_most(f"longest pause, {where}; 50 ms asked for", short.pause_ms, "ms", 50),
        Row(f"owners found, {where}", ours.owners, f"of {_TARGETS}"),
        Row(f"owners found, {where}; 50 ms asked for", short.owners, f"of {_TARGETS}"),
        Row(f"one search, {where}; 50 ms asked for", short.cpu_seconds, "s"),
    ]
    if _PEER in of:
        peer, what = of[_PEER], f"one search, {where}"
        for how, mine, theirs in (
            ("", ours.cpu_seconds, peer.cpu_seconds),
            ("; by the clock", ours.seconds, peer.seconds),
        ):
            rows.append(against(what + how, mine, "s", _PEER, theirs, 5))
        what = f"longest pause, {where}"
        rows.append(Row(what, ours.pause_ms, "ms", _PEER, peer.pause_ms))
    return rows


def measure(tools: list[str], first: int, objects: int) -> list[Found]:
    """Return what each tool needs, in the order of the tools. Runs in a child."""
    heap = build_heap(objects)
    shop = ModuleType("shop")
    sys.modules["shop"] = shop
    shop.SHOP = Shop()  # type: ignore[attr-defined]
    for number in range(10_000):
        shop.SHOP.keep(number)
    gc.collect()
    ticker = Ticker(time.process_time)
    time.sleep(0.1)
    found = [_searched(_SEARCHES[tool](), first, ticker) for tool in tools]
    ticker.stop()
    del heap
    return found


def _searched(search: Callable[[int], bool], first: int, ticker: Ticker) -> Found:
    ticker.longest_seconds = 0.0
    begun, started = time.process_time(), time.perf_counter()
    owners = sum(search(first + at) for at in range(_TARGETS))
    cpu_seconds = (time.process_time() - begun) / _TARGETS
    seconds = (time.perf_counter() - started) / _TARGETS
    return Found(cpu_seconds, seconds, ticker.longest_seconds * 1000, owners)


def _target(number: int) -> object:
    target = sys.modules["shop"].SHOP.by_number[number].lines["first"]
    while isinstance(target[0], list):
        target = target[0]
    return target


def _leakguard(pause_seconds: float) -> Callable[[int], bool]:
    from leakguard._readers.paths import describe
    from leakguard._readers.search import Search

    search = Search(set(), lambda: False, pause_seconds)  # one for all suspects

    def owner_of(number: int) -> bool:
        chain = search.climb(_target(number))
        return describe(chain)[0].startswith("shop.SHOP.")

    return owner_of


def _objgraph() -> Callable[[int], bool]:
    import objgraph

    def has_root(number: int) -> bool:
        target = _target(number)
        chain = objgraph.find_backref_chain(target, objgraph.is_proper_module)
        return len(chain) > 1

    return has_root


_SEARCHES: dict[str, Callable[[], Callable[[int], bool]]] = {
    _PEER: _objgraph,  # first: what others remember would be in its way
    _OURS: lambda: _leakguard(0.25),
    _SHORT: lambda: _leakguard(_SHORT_PAUSE_SECONDS),
}


if __name__ == "__main__":
    main(NAME, BUDGET, run)
