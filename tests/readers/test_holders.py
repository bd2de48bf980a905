"""Containers that grew in a window, and what hangs on their newest entries."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import tracemalloc
import weakref
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import pytest

import leakguard
from leakguard._core.evidence import Bound
from leakguard._readers import holders
from leakguard._readers.containers import length_of
from leakguard._readers.heap import (
    freeze,
    live_type_counts,
    newborn_count,
    objects_but_tuples,
    sampled_type_counts,
    unfreeze,
)
from leakguard._readers.holders import (
    Followed,
    Grown,
    Newborn,
    describe_grown,
    find_owner,
    kind_of,
    stack_of,
)
from leakguard._readers.search import climb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from leakguard._core.evidence import Holding

    Program = Callable[..., ModuleType]
    Chain = Callable[[str], list[object]]


def _never(*_: object, **__: object) -> NoReturn:
    raise AssertionError


SHOP = """
    import io

    class Order:
        # Python 3.11 does not say where an object with a __dict__ was allocated.
        __slots__ = ("__weakref__", "lines", "number")

        def __init__(self, number):
            self.number = number
            self.lines = [number]

    class Cache:
        def __init__(self):
            self.maxsize, self.data = 1000, dict.fromkeys(range(10))

        def put(self, number):
            self.data["k", number] = Order(number)

    class Node:
        def __init__(self, before):
            self.before = before

    class Head:
        last = None

        def push(self):
            self.last = Node(self.last)

    orders = [None] * 10
    quiet = [None] * 10
    short = []
    by_key = dict.fromkeys(range(10))
    cache, head = Cache(), Head()
    CHECKED = dict.fromkeys(range(10))
    tape, page = bytearray(10), io.StringIO()
    for _ in range(10):
        page.write("x")

    def write(number):
        tape.extend(b"x" * 100)
        page.write(f"order {number}, ten")

    def check(number):
        if len(CHECKED) > 500:
            CHECKED.clear()
        CHECKED["k", number] = Order(number)

    def work(number):
        orders.append(Order(number))
        short.append(number)
        by_key["k", number] = [number]
        quiet[-1] = Order(number)
"""


@pytest.fixture
def window() -> Iterator[None]:
    """Trace at some depth, with the old heap out of sight."""
    frozen = freeze()
    tracemalloc.start(8)
    yield
    tracemalloc.stop()
    if frozen:
        unfreeze()


@pytest.fixture
def shop(program: Program) -> ModuleType:
    return program(SHOP)


@pytest.fixture
def followed(shop: ModuleType) -> Followed:
    """Follow the containers, of a program that is there, before the window opens."""
    assert shop.orders
    return Followed()


def _grown(followed: Followed) -> list[Grown]:
    return followed.grown(Newborn.read())


def _of(container: object, grown: list[Grown]) -> Grown | None:
    return next((item for item in grown if item.holder is container), None)


def _described(found: Grown | None, seconds: float = 20.0) -> Holding:
    assert found is not None
    gc.unfreeze()
    (holding,) = describe_grown([found], set(), seconds=seconds)
    return holding


def test_buffers_that_grew_are_found_too(
    shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    for number in range(50):
        shop.write(number)
        shop.work(number)
    grown = _grown(followed)
    found = [_of(item, grown) for item in (shop.orders, shop.tape, shop.page)]
    orders, tape, page = found
    assert orders is not None
    assert tape is not None
    assert page is not None
    assert (tape.new_entries, page.new_entries >= 600) == (5_000, True)
    assert grown.index(tape) < grown.index(orders), "78 entries are as much"
    gc.unfreeze()
    grown = [page, *(item for item in grown if item.entry_types == ("str",))]
    hidden = {id(followed.containers)}
    holding, *others = describe_grown(grown, hidden, seconds=20.0)
    assert holding.path == "shop.page"
    assert bool(holding.sites) == (sys.version_info < (3, 12))  # its parts are a list
    assert others == []
    assert "bytes" in holding.links[-1].why
    assert holding.retained_bytes is not None
    assert holding.retained_bytes >= page.new_entries


@pytest.mark.usefixtures("window")
def test_what_was_born_in_the_window_is_told_from_what_was_there(
    shop: ModuleType,
) -> None:
    order, text = shop.Order(1), "a new text of " + str(shop.orders)
    newborn = Newborn([order], {id(order)})
    assert newborn.holds(order)
    assert newborn.holds(text), "untracked, and traced"
    assert not newborn.holds(shop.orders)
    assert not newborn.holds(shop.__name__)
    assert not newborn.holds(None)
    assert not newborn.holds(obj := [order]), f"{len(obj)}: not in the list given"


def test_containers_that_grew_are_found_most_first(
    shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    for number in range(50):
        shop.work(number)
    shop.orders.extend([None] * 30)
    grown = _grown(followed)
    orders, by_key = _of(shop.orders, grown), _of(shop.by_key, grown)
    assert orders is not None
    assert by_key is not None
    assert (orders.new_entries, by_key.new_entries) == (80, 50)
    assert grown.index(orders) < grown.index(by_key)
    assert _of(shop.quiet, grown) is None, "as long as before"
    assert _of(shop.short, grown) is None, "too short to be followed"


def test_what_hangs_on_the_newest_entries_is_counted_by_its_stack(
    shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    for number in range(50):
        shop.work(number)
    found = _of(shop.orders, _grown(followed))
    assert found is not None
    assert found.entry_types == ("shop.Order",)
    text = SHOP.splitlines()
    lines = {
        text[frames[0][1] - 1].strip()
        for frames in found.sites
        if frames[0][0] == shop.__file__
    }
    assert {"self.lines = [number]", "orders.append(Order(number))"} <= lines


def test_containers_of_ours_are_no_holders(
    monkeypatch: pytest.MonkeyPatch, followed: Followed, window: None
) -> None:
    assert window is None
    monkeypatch.setattr(holders, "is_own", lambda file: file == __file__)
    ours = list(range(20))
    followed.containers.append(ours)
    followed.sizes.append(10)
    assert _of(ours, _grown(followed)) is None
    monkeypatch.undo()
    assert _of(ours, _grown(followed)) is not None


def test_only_so_many_holders_are_kept(
    monkeypatch: pytest.MonkeyPatch, shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    monkeypatch.setattr(holders, "_KEPT_HOLDERS", 1)
    for number in range(500):
        shop.work(number)
    assert len(_grown(followed)) == 1


def test_a_container_that_changes_under_the_look_is_still_a_holder(
    shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    for number in range(20):
        shop.work(number)

    class Changing(Newborn):
        def holds(self, item: object) -> bool:
            shop.by_key[object()] = 1
            return super().holds(item)

    found = _of(shop.by_key, followed.grown(Changing.read()))
    assert found is not None
    assert found.new_entries >= 20
    assert found.entry_types


def test_the_walk_below_an_entry_ends(
    monkeypatch: pytest.MonkeyPatch, shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    ring: list[object] = []
    ring.append(ring)
    shop.orders.extend([ring, [[number] for number in range(100)]])
    monkeypatch.setattr(holders, "_WALKED_OBJECTS", 20)
    found = _of(shop.orders, _grown(followed))
    assert found is not None
    assert sum(found.sites.values()) <= 20


def test_a_holder_is_described_by_path_type_and_length(
    shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    for number in range(50):
        shop.work(number)
    holding = _described(_of(shop.orders, _grown(followed)))
    assert holding.path == "shop.orders"
    assert (holding.type, holding.length, holding.new_entries) == ("list", 60, 50)
    assert holding.entry_types == ("shop.Order",)
    assert holding.bound is None
    assert not holding.unbounded_lru
    assert holding.file == shop.__file__
    assert [link.status for link in holding.links] == ["healthy", "leaking"]
    assert holding.links[-1].why == (
        "holds 60 entries, 50 of them new in the last look"
    )


def test_a_holder_comes_with_the_bound_of_its_owner(
    shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    for number in range(20):
        shop.cache.put(number)
    holding = _described(_of(shop.cache.data, _grown(followed)))
    assert holding.path == "shop.cache.data"
    assert holding.bound == Bound("Cache.maxsize", 1000)


def test_a_global_holder_comes_with_the_bound_its_module_keeps(
    shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    for number in range(20):
        shop.check(number)
    holding = _described(_of(shop.CHECKED, _grown(followed)))
    assert holding.path == "shop.CHECKED"
    assert holding.bound == Bound("the check in check()", 500)


def test_of_a_heap_too_large_to_list_what_has_a_name_is_followed(
    shop: ModuleType,
) -> None:
    followed = Followed(pause_seconds=0.0)
    assert any(item is shop.orders for item in followed.containers)


def test_out_of_time_nothing_more_is_described(shop: ModuleType) -> None:
    grown = [Grown(shop.orders, 1, {}, ()), Grown(shop.by_key, 1, {}, ())]
    clock = count().__next__
    assert describe_grown(grown, set(), seconds=0, clock=clock) == ()
    assert describe_grown(grown, set(), seconds=-1) == ()
    assert len(describe_grown(grown, set(), seconds=100)) == 2


def test_a_description_holds_no_object(shop: ModuleType) -> None:
    class Entry:
        pass

    entry = Entry()
    gone = weakref.ref(entry)
    shop.orders.append(entry)
    grown = [Grown(shop.orders, 1, {}, ("Entry",))]
    held = (
        describe_grown(grown, set(), seconds=20),
        find_owner([entry], set(), seconds=20),
    )
    del entry, grown
    shop.orders.clear()
    assert gone() is None
    assert held[0][0].path == "shop.orders"


def test_a_holder_of_no_module_has_no_file(shop: ModuleType) -> None:
    assert shop.orders
    (holding,) = describe_grown([Grown([1, 2], 1, {}, ())], set(), seconds=20)
    assert holding.path == "list"
    assert holding.file is None


def test_survivors_that_no_container_grew_by_have_an_owner(shop: ModuleType) -> None:
    for _ in range(5):
        shop.head.push()
    holding = find_owner([shop.head.last], set(), seconds=20)
    assert holding is not None
    assert holding.path == "shop.head.last"
    assert holding.type == "shop.Node"
    assert holding.new_entries == 0
    assert holding.bound is None
    assert holding.links[-1].status == "leaking"
    assert holding.links[-1].why == "what it holds grows with the work"


def test_the_nearest_bounded_holder_speaks_for_its_entries(shop: ModuleType) -> None:
    shop.cache.put(7)
    holding = find_owner([shop.cache.data["k", 7]], set(), seconds=20)
    assert holding is not None
    assert holding.path == "shop.cache.data"
    assert holding.bound == Bound("Cache.maxsize", 1000)


def test_what_nobody_is_seen_to_hold_has_no_owner() -> None:
    assert find_owner([[]], set(), seconds=20) is None
    assert find_owner([], set(), seconds=20) is None


def test_the_next_survivor_is_asked_when_one_has_no_owner(shop: ModuleType) -> None:
    holding = find_owner([[], shop.orders], set(), seconds=20)
    assert holding is not None
    assert holding.path == "shop.orders"


@pytest.mark.usefixtures("window")
def test_a_stack_is_innermost_first(shop: ModuleType, window: None) -> None:
    assert window is None
    shop.cache.put(1)
    stack = stack_of(shop.cache.data["k", 1])
    assert stack is not None
    assert stack[0][0] == shop.__file__
    assert stack[1][0] == __file__
    assert stack_of(shop.orders) is None


def test_kinds_are_the_real_types_names() -> None:
    class Meta(type):
        pass

    kind = Meta("Form", (), {})
    assert kind_of({}) == "dict"
    assert kind_of(SimpleNamespace()) == "types.SimpleNamespace"
    assert kind_of(kind) == "type"
    assert kind_of(int) == "type"


class Lazy:
    """A proxy as lazy objects are: whatever it is asked, it would compute."""

    __class__ = property(_never)  # type: ignore[assignment]
    __getattribute__ = __getattr__ = _never  # type: ignore[assignment]
    __len__ = __iter__ = __getitem__ = __bool__ = __contains__ = _never  # type: ignore[assignment]
    __eq__ = __hash__ = __repr__ = __str__ = __format__ = _never  # type: ignore[assignment]


def test_no_code_of_what_is_held_runs(
    shop: ModuleType, followed: Followed, window: None
) -> None:
    assert window is None
    shop.orders.extend(Lazy() for _ in range(20))
    found = _of(shop.orders, _grown(followed))
    holding = _described(found)
    assert holding.entry_types == (f"{__name__}.Lazy",)
    owner = find_owner([shop.orders[-1]], set(), seconds=20)
    assert owner is not None
    assert owner.path == "shop.orders[…]"


class Building(threading.Thread):
    """A thread that makes a tuple of a generator, and pauses in the middle.

    CPython resizes such a tuple while it is made, which fails if anybody has got
    hold of it through the collector (``gc.get_referrers``' documentation warns).
    """

    def __init__(self, first: object = None) -> None:
        super().__init__()
        self.first = first
        self.error: SystemError | None = None
        self.begun, self.go_on = threading.Event(), threading.Event()

    def _items(self) -> Iterator[object]:
        yield self.first
        self.begun.set()
        self.go_on.wait(20)
        yield from range(1_000)

    def run(self) -> None:
        try:
            tuple(self._items())
        except SystemError as error:
            self.error = error

    def __enter__(self) -> Self:
        self.start()
        assert self.begun.wait(20)
        return self

    def finish(self) -> None:
        self.go_on.set()
        self.join()

    def __exit__(self, *_: object) -> None:
        self.finish()


def test_following_containers_breaks_no_tuple_in_the_making(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Building() as building:

        def measured(item: object) -> int:
            building.finish()
            return length_of(item)

        monkeypatch.setattr(holders, "length_of", measured)
        Followed()
    assert building.error is None


def test_newborn_objects_break_no_tuple_in_the_making() -> None:
    with Building() as building:
        newborn = Newborn.read()
        building.finish()
        assert newborn.objects
    assert building.error is None


def test_climbing_breaks_no_tuple_in_the_making() -> None:
    levels = count()
    with Building(first := [1]) as building:

        def out_of_time() -> bool:
            if next(levels) == 1:
                building.finish()
            return False

        climb(first, hidden=set(), out_of_time=out_of_time)
    assert building.error is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "look",
    [
        objects_but_tuples,
        Newborn.read,
        lambda: climb([].append, hidden=set(), out_of_time=lambda: False),
        live_type_counts,
        sampled_type_counts,
        newborn_count,
    ],
)
def test_busy_threads_may_make_tuples_while_a_large_heap_is_read(
    look: Callable[[], object],
) -> None:
    kept = [[number] for number in range(300_000)]
    errors: list[SystemError] = []
    over = threading.Event()

    def build() -> None:
        while not over.is_set():
            try:
                tuple(number for number in range(2_000))
            except SystemError as error:  # noqa: PERF203 - the case
                errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        look()
    over.set()
    for thread in threads:
        thread.join()
    assert kept
    assert errors == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "look",
    [
        "holders.Followed()",
        "search.climb(vars(_asyncio), hidden=set(), out_of_time=lambda: False)",
        "holders.sites_below(deque([_asyncio]), holders.Newborn.read(), 4_000)",
    ],
)
def test_the_collector_works_after_a_look_at_an_asyncio_program(look: str) -> None:
    # CPython 3.12 shows the dead iterators that its module _asyncio keeps in reserve
    # to who asks for the module's referents; let go of, they are in reserve twice,
    # and the next collection never ends.
    program = f"""
import _asyncio, asyncio, gc
from collections import deque
from leakguard._readers import holders, search

async def main():
    loop = asyncio.get_running_loop()
    async def one():
        future = loop.create_future()
        loop.call_soon(future.set_result, 1)
        await future
    await asyncio.gather(*(one() for _ in range(20)))

asyncio.run(main())
{look}
gc.collect()
print("alive")
"""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            cwd=Path(leakguard.__file__).parent.parent,
        )
    except subprocess.TimeoutExpired:
        pytest.fail("the collector does not come back")
    assert done.stdout == "alive\n"


@pytest.mark.usefixtures("window")
def test_no_comparison_of_a_metaclass_runs() -> None:
    asked: list[object] = []

    class Comparing(type):
        __hash__ = type.__hash__

        def __eq__(cls, other: object) -> bool:
            asked.append(other)
            return False

    class Row(metaclass=Comparing):
        __slots__ = ()

    assert not Newborn([], set()).holds(Row)
    assert not Newborn([], set()).holds(Row())
    assert asked == []


def test_no_code_of_a_lazy_module_runs_to_find_a_file(
    shop: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Proxy:
        __getattr__ = _never

    assert shop.orders
    monkeypatch.setitem(sys.modules, "shop.orders", Proxy())  # type: ignore[arg-type]
    (holding,) = describe_grown([Grown(shop.orders, 1, {}, ())], set(), seconds=20)
    assert holding.path == "shop.orders"
