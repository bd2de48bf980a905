"""A walk from the roots: what it sees, in steps, and what it leaves alone."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import pytest

from leakguard._readers import search, walk
from leakguard._readers.heap import holders_of
from leakguard._readers.paths import describe
from leakguard._readers.search import Passes, Search, climb
from leakguard._readers.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    Program = Callable[..., ModuleType]

SHOP = """
    class Order:
        def __init__(self, number):
            self.lines = [number]

    class Store:
        registry = {"first": [1]}

        def __init__(self):
            self.orders = [Order(number) for number in range(1_000)]

    STORE = Store()
    PAIR = (["paired"],)

    def counted(found=[[7]]):
        return found

    def outer():
        memo = [[8]]
        return lambda: memo
    inner = outer()
"""


def _never() -> bool:
    return False


def _walked(**options: object) -> Walk:
    found = Walk(**options)  # type: ignore[arg-type]
    found.run(_never)
    return found


def _path(found: Walk, target: object, compared: int = 0) -> str | None:
    chain = found.chain_to(target, compared)
    return describe(chain)[0] if chain else None


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        ("STORE.orders", "shop.STORE.orders"),
        ("STORE.orders[-1].lines", "shop.STORE.orders[…].lines"),
        ("Store.registry['first']", "shop.Store.registry['first']"),
        ("PAIR[0]", "shop.PAIR[…]"),
        ("counted()[0]", "shop.counted.__defaults__[…][…]"),
        ("inner()", "shop.inner.<memo>"),
    ],
)
def test_what_a_program_names_is_found_from_its_modules(
    program: Program, expression: str, path: str
) -> None:
    shop = program(SHOP)
    assert _path(_walked(), eval(expression, vars(shop))) == path


BELOW = """
    import sys

    class Order:
        def __init__(self, number):
            self.lines = {"first": [number], "order": self}
            self.shelf = ([number],)
            self.kind = Order
            self.home = sys.modules[__name__]

    class Other(type(sys)):
        pass

    ORDERS = {number: Order(number) for number in range(1_000)}
    SEEN = [Other("other") for _ in range(300)]
"""


@pytest.mark.parametrize("where", ["lines['first']", "shelf[0]"])
def test_what_new_entries_of_long_containers_lead_to_is_found(
    program: Program, where: str
) -> None:
    shop = program(BELOW)
    target = eval(f"ORDERS[700].{where}", vars(shop))
    found = _walked()
    assert not found.chain_to(target, sys.maxsize)
    path = describe(found.chain_below([target]))[0]
    assert path.startswith(f"shop.ORDERS[…].{where[:5]}")


def test_below_older_entries_it_is_looked_later(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = program(BELOW)
    targets = [[], shop.ORDERS[3].lines["first"]]
    monkeypatch.setattr(walk, "_ENTRIES", 64)
    found = _walked()
    assert not found.chain_below(targets, 200)
    chain = found.chain_below(targets)
    assert describe(chain)[0] == "shop.ORDERS[…].lines['first']"
    assert chain[-1] is targets[1]
    monkeypatch.setattr(walk, "_MOST_ENTRIES", 900)
    assert not found.chain_below(targets)


def test_what_lies_deeper_or_elsewhere_is_not_found_below(program: Program) -> None:
    shop = program(BELOW)
    nested = shop.ORDERS[700].lines["first"]
    for _ in range(6):
        nested.append([])
        nested = nested[-1]
    rests: list[float] = []
    found = _walked(rest=rests.append)
    rests.clear()
    assert not found.chain_below([nested])
    assert rests, "it rests in between"
    assert not found.chain_below([[]])


def test_looking_below_ends_in_time(program: Program) -> None:
    shop = program(BELOW.replace("ORDERS", "A_FIRST = list(range(300)); ORDERS"))
    target = shop.ORDERS[700].lines["first"]
    found = _walked()
    assert not found.chain_below([target], 1_000, lambda: True)
    assert not found.chain_below([target], -1)


def test_what_is_let_go_of_meanwhile_is_not_found_below(program: Program) -> None:
    below = walk._Below(program(BELOW).ORDERS.values(), _walked())
    assert below._chain([]) == []


def test_of_a_long_container_the_newest_entries_are_seen_and_all_compared(
    program: Program,
) -> None:
    shop = program(SHOP)
    found = _walked()
    first = shop.STORE.orders[0]
    assert id(first) not in found
    assert _path(found, first) is None
    assert _path(found, first, 999) is None, "it has more entries than that"
    assert _path(found, first, 10**9) == "shop.STORE.orders[…]"
    assert found.chain_to([], 10**9, lambda: True) == []


def test_a_container_that_changes_while_it_is_compared_is_let_be(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = program("KEPT = dict.fromkeys(range(1_000))")
    found = _walked()

    def changed(_item: object) -> Iterator[object]:
        raise RuntimeError
        yield

    monkeypatch.setattr(walk, "entries", changed)
    assert found.chain_to(shop, 10**9) == []


def test_a_walk_ends_at_its_number_of_objects_and_when_it_is_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(list(_walked(most_objects=100))) <= 100 + len(sys.modules)
    monkeypatch.setattr(walk, "_STEP", 10)
    rests: list[float] = []
    found = Walk(rest=rests.append)
    found.run(lambda: len(rests) == 3)
    assert len(rests) == 3


def test_hidden_containers_lead_nowhere(program: Program) -> None:
    shop = program(SHOP)
    found = _walked(hidden={id(shop.STORE)})
    assert _path(found, shop.STORE.orders) is None


def test_no_instance_gets_a_dict_by_being_looked_at(program: Program) -> None:
    shop = program(SHOP)
    one = shop.STORE.orders[-1]
    before = gc.get_referents(one)
    assert id(one) in _walked()
    assert len(gc.get_referents(one)) == len(before)
    assert not any(type(part) is dict for part in gc.get_referents(one)) or any(
        type(part) is dict for part in before
    )


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every heap be one in which passes are expensive."""
    monkeypatch.setattr(search, "_QUICK_SECONDS", 0.0)


@pytest.mark.usefixtures("large")
def test_in_a_large_heap_a_walk_and_passes_meet(program: Program) -> None:
    shop = program(SHOP)
    lines = [shop.STORE.orders[3].lines]
    path = describe(climb(lines.pop(), hidden={id(lines)}, out_of_time=_never))[0]
    assert path == "shop.STORE.orders[…].lines"


@pytest.mark.usefixtures("large")
def test_without_time_for_a_pass_the_walk_alone_answers(program: Program) -> None:
    shop = program(SHOP)
    looking = Search(set(), _never, pause_seconds=1e-9)
    assert describe(looking.climb(shop.STORE.orders))[0] == "shop.STORE.orders"
    first = shop.STORE.orders[0]
    assert describe(looking.climb(first))[0] == "shop.STORE.orders[…]"
    deep: list[object] = []
    first.lines.append([[[[[deep]]]]])
    assert looking.climb(deep) == [deep], "deeper than it looks"


def test_who_is_held_by_thousands_is_found_by_name_all_the_same(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = program(SHOP)
    kept = [shop.STORE.__init__ for _ in range(100)]
    monkeypatch.setattr(search, "_MOST_HOLDERS", 20)
    monkeypatch.setattr(search, "_MOST_OF_ONE_KIND", 10)
    path = describe(climb(shop.STORE.orders, hidden={id(kept)}, out_of_time=_never))[0]
    assert path == "shop.STORE.orders"


@pytest.mark.usefixtures("large")
def test_passes_go_up_to_what_the_walk_leads_on_to(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = program(SHOP)
    deep: list[object] = []
    shop.STORE.orders[0].lines.append([[[[[deep]]]]])
    passes: list[int] = []

    def counted(targets: list[object], most_tuples: int) -> list[object]:
        passes.append(most_tuples)
        return holders_of(targets, most_tuples)

    monkeypatch.setattr(search, "holders_of", counted)
    looking = Search(set(), _never)
    path = describe(looking.climb(deep))[0]
    assert path == "shop.STORE.orders[…].lines" + "[…]" * 6
    assert len(passes) <= 2  # of nine levels; before 3.11 a dict is one of them


@pytest.mark.usefixtures("large")
def test_what_no_root_leads_to_is_looked_for_in_vain() -> None:
    target: list[object] = []
    assert climb(target, hidden=set(), out_of_time=_never) == [target]


def test_passes_are_as_large_as_the_pause_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "getallocatedblocks", lambda: 4_000_000)
    kept = [[number] for number in range(40)]
    passes, mine, asked = Passes(0.12), set[int](), list[int]()

    def holders(targets: list[object], most_tuples: int) -> list[object]:
        asked.append(len(targets) if most_tuples else -len(targets))
        return [kept]

    monkeypatch.setattr(search, "holders_of", holders)
    frontier: list[object] = list(kept)
    assert passes.fit
    assert sum(1 for _ in passes.holders_of(frontier, mine)) == len(asked)
    # The first is small, for all there is to go by is the size of the heap.
    assert asked[0] == -3
    assert asked[1] == 37


def test_a_first_pass_that_finds_nobody_is_made_again_with_tuples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "getallocatedblocks", lambda: 4_000_000)
    asked: list[int] = []

    def holders(_targets: list[object], most_tuples: int) -> list[object]:
        asked.append(most_tuples)
        return []

    monkeypatch.setattr(search, "holders_of", holders)
    assert list(Passes(0.12).holders_of([[]], set())) == [[]]
    assert asked == [0, 8]


def test_no_pass_is_made_that_would_take_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "getallocatedblocks", lambda: 4_000_000)
    passes = Passes(0.05)
    assert not passes.fit
    assert list(passes.holders_of([[]], set())) == []
