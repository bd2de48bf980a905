"""Containers by length and newest entry, without running code of theirs."""

from __future__ import annotations

import functools
import gc
import io
from array import array
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from leakguard._readers import containers
from leakguard._readers.containers import (
    SHORT,
    containers_in,
    is_buffer,
    length_of,
    newest_entries,
    size_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


def _never(*_: object) -> NoReturn:
    raise AssertionError


class LazyDict(dict[object, object]):
    """A dict that computes whatever it is asked."""

    __len__ = __iter__ = __getitem__ = __reversed__ = items = values = _never  # type: ignore[assignment]
    __eq__ = __bool__ = __contains__ = keys = _never  # type: ignore[assignment]
    __hash__ = _never  # type: ignore[assignment]


class LazyList(list[object]):
    __len__ = __iter__ = __getitem__ = __reversed__ = __bool__ = _never  # type: ignore[assignment]


class LazySet(set[object]):
    __len__ = __iter__ = __contains__ = __bool__ = _never  # type: ignore[assignment]


class LazyDeque(deque[object]):
    __len__ = __iter__ = __getitem__ = __reversed__ = __bool__ = _never  # type: ignore[assignment]


class Shelf:
    """An object with one attribute."""

    def __init__(self, books: object) -> None:
        self.books = books


class Slotted:
    __slots__ = ("books",)

    def __init__(self, books: object) -> None:
        self.books = books


def _heap(*items: object) -> list[object]:
    """Return the objects as the collector would list them, with their own dicts."""
    return [*items, *filter(gc.is_tracked, _dicts_of(items))]


def _dicts_of(items: Iterable[object]) -> list[object]:
    """Return the dicts below: before 3.11 an object's attributes are in one."""
    found: dict[int, object] = {}
    for part in gc.get_referents(*items):
        if type(part) is dict:
            found[id(part)] = part
            found.update((id(inner), inner) for inner in _dicts_of([part]))
    return list(found.values())


def _cached(size: int | None, calls: int) -> object:
    @functools.lru_cache(maxsize=size)
    def answer(number: int) -> list[int]:
        return [number]

    for number in range(calls):
        answer(number)
    return answer


@pytest.mark.parametrize(
    ("item", "length"),
    [
        ({1: 1, 2: 2}, 2),
        ([1, 2, 3], 3),
        ({1}, 1),
        (frozenset({1, 2}), 2),
        (deque([1, 2]), 2),
        (OrderedDict(a=1), 1),
        (defaultdict(int, a=1), 1),
        (Counter("aab"), 2),
        (_cached(None, 3), 3),
        (_cached(2, 3), 2),
        (UserDict({1: 1}), 0),
        ("text", 0),
        (object(), 0),
        (3, 0),
    ],
)
def test_containers_are_measured_and_nothing_else_is(item: object, length: int) -> None:
    assert length_of(item) == length


def test_a_subclass_is_measured_as_the_container_it_is() -> None:
    lazy = LazyDict()
    dict.__setitem__(lazy, "a", 1)
    assert length_of(lazy) == 1
    assert length_of(LazyList([1, 2])) == 2
    assert length_of(LazySet({1})) == 1
    assert length_of(LazyDeque([1, 2, 3])) == 3


def test_a_function_under_a_cache_may_bring_its_own_cache_info() -> None:
    def answer(number: int) -> int:
        return number

    answer.cache_info = _never  # type: ignore[attr-defined]
    cached = functools.lru_cache(answer)  # takes over the function's attributes
    cached(1)
    assert length_of(cached) == 1


def test_containers_of_a_heap_are_found_and_leaves_are_not() -> None:
    cached = _cached(None, 1)
    kept: list[object] = [{"a": []}, [1], {1}, deque(), LazyDict(), cached]
    leaves: list[object] = [(1, []), _never, Shelf.__init__, Shelf, Shelf([])]
    found = list(containers_in([*kept, *leaves]))
    assert list(map(id, found)) == list(map(id, kept))


@pytest.mark.parametrize("hold", [Shelf, lambda data: {"a": data}])
def test_a_dict_that_the_collector_ignores_is_found_through_its_holder(
    hold: type[Shelf],
) -> None:
    data = dict.fromkeys(range(SHORT))
    found = containers_in(_heap(hold(data)))
    assert [item for item in found if item is data] == [data]


def test_a_short_dict_that_the_collector_ignores_is_left_out() -> None:
    data = dict.fromkeys(range(SHORT - 1))
    found = containers_in(_heap(Shelf(data)))
    assert [item for item in found if item is data and not gc.is_tracked(data)] == []


@pytest.mark.parametrize(
    ("buffer", "written"),
    [
        (bytearray(300), 300),
        (array("d", [0.5] * 40), 320),
        (io.BytesIO(), 300),
        (io.StringIO(), 300),
    ],
)
def test_a_buffer_is_found_through_its_holder(
    buffer: Any,  # noqa: ANN401
    written: int,
) -> None:
    if isinstance(buffer, io.IOBase):
        buffer.write("x" * 300 if type(buffer) is io.StringIO else b"x" * 300)
    found = containers_in(_heap(Shelf(buffer), buffer))
    assert [item for item in found if item is buffer] == [buffer]
    assert size_of(buffer) == written
    assert length_of(buffer) == 0
    assert is_buffer(buffer)


def test_a_closed_buffer_is_empty() -> None:
    text = io.StringIO("text")
    text.close()
    assert size_of(text) == 0
    assert size_of([1, 2]) == 2
    assert not is_buffer([1, 2])


def test_a_dict_of_two_holders_is_found_once() -> None:
    data = dict.fromkeys(range(SHORT))
    found = containers_in(_heap(Shelf(data), Shelf(data)))
    assert [item for item in found if item is data] == [data]


def test_only_so_many_instances_of_a_type_are_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(containers, "_LOOKED_INTO", 2)
    data = [dict.fromkeys(range(SHORT)) for _ in range(5)]
    if any(map(gc.is_tracked, data)):
        pytest.skip("this interpreter tracks every dict")
    cells = [Slotted(each) for each in data]
    assert list(containers_in([*cells])) == data[:2]


def test_no_code_of_a_container_or_its_holder_runs_to_find_it() -> None:
    lazy: list[object] = [LazyDict(), LazyList(), LazySet(), LazyDeque()]
    found = list(containers_in([Shelf(lazy), *lazy]))
    assert list(map(id, found)) == list(map(id, lazy))


def test_a_class_whose_metaclass_compares_does_not_stop_the_search() -> None:
    class Comparing(type):  # noqa: PLW1641 - unhashable, as it is meant
        __eq__ = _never  # type: ignore[assignment]  # and so without a hash

    class Row(metaclass=Comparing):
        pass

    kept: list[object] = [1]
    assert list(containers_in([Row(), kept])) == [kept]


def test_the_newest_entries_of_a_dict_come_first() -> None:
    data = dict(zip("abcd", range(4), strict=True))
    assert list(newest_entries(data, 2)) == [("d", 3), ("c", 2)]
    assert list(newest_entries(OrderedDict(data), 1)) == [("d", 3)]


def test_the_newest_entries_of_a_list_come_first() -> None:
    assert list(newest_entries([1, 2, 3], 2)) == [(3,), (2,)]


def test_members_of_a_set_come_in_any_order() -> None:
    assert set(newest_entries({1, 2, 3}, 24)) == {(1,), (2,), (3,)}
    assert len(list(newest_entries({1, 2, 3}, 2))) == 2


def test_a_deque_is_read_from_both_ends() -> None:
    assert list(newest_entries(deque([1, 2, 3, 4]), 4)) == [(4,), (1,), (3,), (2,)]
    assert list(newest_entries(deque([1, 2, 3, 4]), 1)) == [(4,)]
    assert {part for (part,) in newest_entries(deque([1, 2, 3]), 24)} == {1, 2, 3}


def test_the_newest_result_of_a_bounded_cache_comes_before_older_ones() -> None:
    parts = chain.from_iterable(newest_entries(_cached(8, 5), 100))
    results = [part for part in parts if type(part) is list]
    assert results == [[4], [3], [2], [1], [0]]


@pytest.mark.parametrize("item", ["text", 3, (1, 2), object(), frozenset({1})])
def test_what_is_no_growing_container_has_no_entries(item: object) -> None:
    assert list(newest_entries(item, 24)) == []


def test_no_code_of_a_container_runs_to_read_its_entries() -> None:
    lazy = LazyDict()
    dict.__setitem__(lazy, "a", 1)
    assert list(newest_entries(lazy, 24)) == [("a", 1)]
    assert list(newest_entries(LazyList([1, 2]), 24)) == [(2,), (1,)]
    assert list(newest_entries(LazySet({1}), 24)) == [(1,)]


def test_no_code_of_a_deque_runs_to_read_its_ends() -> None:
    assert list(newest_entries(LazyDeque([1, 2]), 2)) == [(2,), (1,)]


@pytest.mark.parametrize(("changes", "entries"), [(1, [(1,)]), (99, [])])
def test_a_container_that_keeps_changing_is_read_again_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, changes: int, entries: list[object]
) -> None:
    readings = iter(range(100))

    def changing(item: list[object]) -> list[tuple[object]]:
        if next(readings) < changes:
            raise RuntimeError
        return [(part,) for part in item]

    monkeypatch.setitem(containers._NEWEST, id(list), changing)  # type: ignore[arg-type]
    assert list(newest_entries([1], 24)) == entries
    assert next(readings) < 10
