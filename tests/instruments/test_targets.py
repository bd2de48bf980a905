"""The usual ways to wrap: results and errors stay as they are, releases come first."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest

from leakguard._core.resources import Kind
from leakguard._instruments.targets import (
    adds,
    entry,
    makes,
    releases,
    removes,
    returns,
    takes_back,
)
from leakguard._runtime.resources import Book, Shelf


class Item:
    def __init__(self, name: str = "") -> None:
        self.name = name


@pytest.fixture
def shelf() -> Shelf:
    return Book().shelf(Kind("things", "other", "Release it."))


def test_what_is_made_and_released(shelf: Shelf) -> None:
    def close(self: Item, *, now: bool) -> bool:
        assert id(self) not in shelf.holds
        return now

    item = Item.__new__(Item)
    makes(Item.__init__, shelf)(item, name="one")
    assert (item.name, len(shelf.holds)) == ("one", 1)
    assert releases(close, shelf)(item, now=True)


def test_what_fails_is_refused_and_raises_as_it_did(shelf: Shelf) -> None:
    def fail() -> NoReturn:
        raise TimeoutError("none left")

    async def fail_later() -> NoReturn:
        raise TimeoutError("none left")

    with pytest.raises(TimeoutError, match="none left"):
        returns(fail, shelf)()
    with pytest.raises(TimeoutError, match="none left"):
        asyncio.run(returns(fail_later, shelf)())
    assert (shelf.refused, shelf.holds) == (2, {})


def test_what_is_awaited_is_acquired_then(shelf: Shelf) -> None:
    async def get() -> Item:
        return item

    async def put(_: object, one: Item) -> Item:
        return one

    async def main() -> None:
        acquired = returns(get, shelf)()
        assert shelf.holds == {}
        assert await acquired is item
        assert len(shelf.holds) == 1
        assert await takes_back(put, shelf)(shelf, one=item) is item
        assert shelf.holds == {}

    item = Item()
    asyncio.run(main())


def test_what_is_registered_twice_is_two_and_removed_by_name_or_place(
    shelf: Shelf,
) -> None:
    def change(_: object, event: str, listener: object) -> tuple[str, object]:
        return event, listener

    add, remove = adds(2)(change, shelf), removes(2)(change, shelf)
    owner = Item()
    for event in ("ordered", "paid"):
        assert add(owner, event, listener=print) == (event, print)
    assert len(shelf.holds) == 2
    remove(owner, "paid", print)
    remove(owner, event="ordered", listener=print)
    remove(owner, "paid", print)
    assert shelf.holds == {}


def test_an_entry_is_the_same_for_a_method_and_for_what_has_no_hash() -> None:
    item: list[int] = []
    assert entry(shelf, "a", item.append) == entry(shelf, "a", item.append)
    assert entry(shelf, item) == entry(shelf, item) != entry(shelf, [])
