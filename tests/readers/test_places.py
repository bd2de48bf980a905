"""Containers by their path: found again as the program changes, and never held."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from leakguard._readers import edges
from leakguard._readers.places import (
    Route,
    chain_along,
    containers_of,
    end_of,
    route_of,
)
from leakguard._readers.roots import Roots
from leakguard._readers.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Program = Callable[..., ModuleType]
    Chain = Callable[[str], list[object]]

SHOP = """
    import functools
    from collections import OrderedDict, deque
    from weakref import WeakValueDictionary

    ROWS = dict.fromkeys(range(20))

    class Registry:
        kinds = set(range(20))

    class Store:
        def __init__(self):
            self.rows = list(range(20))

        def put(self):
            pass

    class Slots:
        __slots__ = ("empty", "rows")

        def __init__(self):
            self.rows = deque(range(20))

    STORE, SLOTS, BOUND = Store(), Slots(), Store().put
    NESTED = {"orders": {"open": list(range(20))}}
    ORDERED = OrderedDict.fromkeys(range(20))
    SHARDS = [list(range(20))]

    class Item:
        pass

    ITEMS = [Item() for _ in range(20)]
    WEAK = WeakValueDictionary(enumerate(ITEMS))

    def outer():
        memo = list(range(20))
        later = None
        def inner():
            return memo if memo else later
        del later
        return inner

    inner = outer()

    @functools.lru_cache(maxsize=None)
    def cached(number):
        return number

    for number in range(20):
        cached(number)
"""
PATHS = [
    "ROWS",
    "Registry.kinds",
    "STORE.rows",
    "SLOTS.rows",
    "BOUND.__self__.rows",
    "NESTED['orders']['open']",
    "ORDERED",
    "ITEMS",
    "WEAK.data",
    "inner.<memo>",
    "cached",
]


def test_containers_are_found_by_name(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "_questions_left", 10_000)
    program(SHOP)
    walk = Walk()
    walk.run(lambda: False)
    found = containers_of(walk, 10_000, lambda: False)
    lengths = {
        item.route.path: item.length for item in found if item.route.module == "shop"
    }
    assert {f"shop.{path}" for path in PATHS} <= set(lengths)
    assert {lengths[f"shop.{path}"] for path in PATHS} == {20}
    assert "shop.SHARDS[…]" not in lengths, "it could not be found again"
    assert containers_of(walk, 10_000, lambda: True) == []
    assert len(containers_of(walk, 3, lambda: False)) == 3


@pytest.mark.parametrize("path", PATHS)
def test_a_container_is_found_again_along_its_path(program: Program, path: str) -> None:
    shop = program(SHOP)
    walk = Walk()
    walk.run(lambda: False)
    target = eval(path.replace("inner.<memo>", "inner()"), vars(shop))
    chain = walk.chain_to(target)
    route = route_of(chain, Roots())
    assert route is not None
    assert route.path == f"shop.{path}"
    assert end_of(route) is chain[-1]
    assert chain_along(route)[-1] is chain[-1]


def test_what_has_no_name_has_no_route(program: Program, chain_to: Chain) -> None:
    program(SHOP)
    assert route_of(chain_to("SHARDS[0]"), Roots()) is None
    assert route_of([[], []], Roots()) is None
    assert route_of([vars(program("", "empty"))], Roots()) is None


@pytest.mark.parametrize(
    "steps",
    [
        (("name", "gone"),),
        (("name", "STORE"), ("name", "gone")),
        (("name", "SLOTS"), ("name", "empty")),
        (("name", "SLOTS"), ("name", "put")),
        (("name", "STORE"), ("key", "rows")),
        (("name", "STORE"), ("variable", "rows")),
        (("name", "inner"), ("variable", "gone")),
        (("name", "inner"), ("variable", "later")),
    ],
)
def test_what_is_gone_is_nothing(
    program: Program, steps: tuple[tuple[str, str], ...]
) -> None:
    program(SHOP)
    route = Route("shop.gone", "shop", steps)
    assert end_of(route) is None
    assert chain_along(route) == []


def test_a_route_holds_nothing(program: Program, chain_to: Chain) -> None:
    shop = program(SHOP)
    route = route_of(chain_to("STORE.rows"), Roots())
    gone = weakref.ref(shop.STORE)
    del shop.STORE
    gc.collect()
    assert route is not None
    assert gone() is None
