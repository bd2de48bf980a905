"""The second look: stacks, types, holders and owners of what grows."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from leakguard._core.growth import Law
from leakguard._core.judge import Picture
from leakguard._core.observe import GrowthRow
from leakguard._readers.process import collects_automatically
from leakguard._runtime import depth
from leakguard._runtime.depth import calls_wanted, look_deep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard._core.evidence import DeepLook
    from leakguard._core.records import Stack


class Order:
    __slots__ = ("before", "number")

    def __init__(self, number: int, before: object = None) -> None:
        self.number = number
        self.before = before


class Shop:
    """What the looks below find: a list, a chain and a ring."""

    def __init__(self) -> None:
        self.orders: list[object] = [None] * 10
        self.last: Order | None = None

    def keep(self) -> None:
        self.orders.append(Order(1))

    def push(self) -> None:
        self.last = Order(1, self.last)

    def push_name(self) -> None:
        name = f"order {id(self)}" * 2
        self.last = Order(1, (name, self.last))

    def ring(self) -> None:
        first = Order(1)
        first.before = Order(2, first)


SHOP = Shop()


@pytest.fixture(autouse=True)
def _empty_shop() -> Iterator[None]:
    SHOP.__init__()  # type: ignore[misc]
    yield
    SHOP.__init__()  # type: ignore[misc]


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def _law(slope: float) -> Law:
    return Law(shape="linear", slope=slope, intercept=0.0, grown=100.0, confidence=0.9)


def _row(line: int, blocks: float = 1.0) -> GrowthRow:
    return GrowthRow((__file__, line), _law(100.0), _law(blocks))


def _line(method: Callable[..., object]) -> int:
    """Return the last line of a method: the one that allocates."""
    lines = [line for _, _, line in method.__code__.co_lines() if line]
    return max(lines)


def _look(method: Callable[[], object], calls: int = 100) -> DeepLook:
    def run() -> float:
        for _ in range(calls):
            method()
        return calls

    return look_deep(run, [_row(_line(method))], nframe=10, search_seconds=20.0)


def _at(method: Callable[..., object], stacks: Iterator[Stack] | object) -> Stack:
    here = (__file__, _line(method))
    return next(stack for stack in stacks if stack[0] == here)  # type: ignore[union-attr]


def test_survivors_come_with_their_stack_their_type_and_their_holder() -> None:
    found = _look(SHOP.keep)
    stack = _at(SHOP.keep, found.survivors)
    assert found.work_done == 100
    assert found.survivors[stack][1] >= 100
    assert len(stack) > 1, "at depth"
    assert found.types[stack] == {f"{__name__}.Order": 100}
    (holding,) = [h for h in found.holdings if stack in h.sites]
    assert holding.path == f"{__name__}.SHOP.orders"
    assert holding.new_entries == 100
    assert stack not in found.owners, "its container is known already"
    assert found.vanished == frozenset()


def test_survivors_of_no_container_come_with_their_owner() -> None:
    found = _look(SHOP.push)
    stack = _at(SHOP.push, found.survivors)
    assert found.owners[stack].path == f"{__name__}.SHOP.last"
    assert found.types[stack] == {f"{__name__}.Order": 100}


def test_what_they_hold_has_the_same_owner_even_if_no_collector_sees_it() -> None:
    found = _look(SHOP.push_name)
    code = SHOP.push_name.__code__
    names = (__file__, code.co_firstlineno + 1)
    stack = next(stack for stack in found.survivors if stack[0] == names)
    assert found.owners[stack].path == f"{__name__}.SHOP.last"


def test_garbage_is_no_survivor_where_the_collector_runs() -> None:
    assert collects_automatically()
    found = _look(SHOP.ring)
    lines = {stack[0] for stack in found.survivors}
    assert (__file__, _line(SHOP.ring)) not in lines
    assert found.vanished == frozenset()


@pytest.mark.usefixtures("_no_collector")
def test_garbage_stays_and_is_told_where_the_collector_is_off() -> None:
    found = _look(SHOP.ring)
    stack = _at(SHOP.ring, found.survivors)
    assert found.survivors[stack][1] >= 100
    assert stack in found.vanished
    kept = _look(SHOP.keep)
    assert _at(SHOP.keep, kept.survivors) not in kept.vanished


@pytest.mark.usefixtures("_no_collector")
def test_garbage_comes_with_its_type_where_the_collector_is_off() -> None:
    found = _look(SHOP.ring)
    stack = _at(SHOP.ring, found.survivors)
    assert f"{__name__}.Order" in found.types[stack]


@pytest.mark.usefixtures("_no_collector")
def test_garbage_with_a_finalizer_is_told_by_its_type() -> None:
    class Stream(Order):
        __slots__ = ()

        def __del__(self) -> None:
            self.number = 0

    def ring() -> None:
        stream = Stream(1)
        stream.before = stream

    found = _look(ring)
    assert [name.rsplit(".", 1)[-1] for name in found.finalized] == ["Stream"]
    assert _look(SHOP.ring).finalized == ()


def test_only_lines_that_grew_are_asked_for_their_types() -> None:
    def run() -> float:
        SHOP.keep()
        SHOP.push()
        return 1.0

    found = look_deep(run, [_row(_line(SHOP.push))], nframe=10, search_seconds=20.0)
    assert {stack[0] for stack in found.types} == {(__file__, _line(SHOP.push))}


def test_many_survivors_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "_SAMPLED_SURVIVORS", 50)
    found = _look(SHOP.keep, 1_000)
    stack = _at(SHOP.keep, found.survivors)
    assert found.survivors[stack][1] >= 1_000
    assert 0 < found.types[stack][f"{__name__}.Order"] < 200


def test_nothing_is_searched_without_time() -> None:
    def run() -> float:
        SHOP.keep()
        SHOP.push()
        return 1.0

    rows = [_row(_line(SHOP.push)), _row(_line(SHOP.keep))]
    found = look_deep(run, rows, nframe=10, search_seconds=-1.0)
    assert found.survivors
    assert found.holdings == ()
    assert found.owners == {}


def test_the_work_may_fail_and_all_is_put_back() -> None:
    def run() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        look_deep(run, [], nframe=10, search_seconds=1.0)
    assert not tracemalloc.is_tracing()


@pytest.mark.parametrize(
    ("rates", "calls"),
    [([], 60), ([1.0], 60), ([1.0, 0.1], 600), ([100.0], 24), ([1e-9], 4_000)],
)
def test_enough_calls_are_made_to_see_the_slowest_of_the_leading_lines(
    rates: list[float], calls: int
) -> None:
    rows = tuple(_row(1, rate) for rate in rates)
    assert calls_wanted(Picture(100, rows, None, None)) == calls


@pytest.mark.parametrize(("made", "calls"), [(100, 120), (1_000, 250), (99_999, 4_000)])
def test_a_buffer_asks_for_calls_enough_to_be_moved(made: int, calls: int) -> None:
    still = Law("decaying", slope=0.001, intercept=0.0, grown=2.0, confidence=0.9)
    rows = (replace(_row(1), blocks=still), _row(2, 0.5))
    assert calls_wanted(Picture(made, rows, None, None)) == calls
