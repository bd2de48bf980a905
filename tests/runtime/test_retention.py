"""Objects that should die, the book of resources, and the looks at both."""

from __future__ import annotations

import gc
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import leakguard
from leakguard import LeakguardError
from leakguard._core.resources import Kind
from leakguard._readers.source import SourceMap
from leakguard._runtime import resources, retention
from leakguard._runtime.monitor import process
from leakguard._runtime.retention import Retention

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leakguard._core.records import Suspect
    from leakguard._runtime.resources import Shelf

OPENED = Kind("things", "unclosed-connection", "Close it.")
#: Who holds what should be dead.
HELD: list[object] = []


class Request:
    pass


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watched(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Retention]:
    monkeypatch.setattr(retention, "MOST_BLOCKS_TO_COLLECT", 1 << 40)
    monkeypatch.setattr(retention, "SEARCH_SECONDS", 60.0)
    yield Retention(clock)
    HELD.clear()


@pytest.fixture
def shelf(watched: Retention) -> Shelf:
    return watched.book.shelf(OPENED)


def acquire(shelf: Shelf, item: object) -> None:
    """Be the wrapper that stands between a line and the shelf."""
    shelf.take(item)


def suspects(watched: Retention) -> tuple[Suspect, ...]:
    return watched.suspects(SourceMap().names())


def look(watched: Retention) -> None:
    watched.look()
    watched.search()


def test_what_outlives_its_grace_is_named_with_who_holds_it(
    watched: Retention, clock: Clock
) -> None:
    HELD.append(Request())
    assert watched.track(HELD[0], "request", 30.0)
    clock.now += 29
    look(watched)
    assert suspects(watched) == ()
    clock.now += 5
    look(watched)
    (found,) = suspects(watched)
    assert found.type == f"{__name__}.Request"
    assert found.hint.startswith("'request' is still there, 4 s after it should be")
    assert found.owner is not None
    assert found.owner.path == f"{__name__}.HELD[…]"
    assert found.owner.links[-1].why == "it should be gone for 4 s"
    HELD.clear()
    assert suspects(watched) == ()
    look(watched)
    assert suspects(watched) == ()


def test_what_dies_in_time_is_no_suspect_not_even_in_a_cycle(
    watched: Retention, clock: Clock
) -> None:
    one, other = Request(), Request()
    vars(other)["self"] = other
    watched.track(one, "request", 30.0)
    watched.track(other, "request", 30.0)
    del one, other
    clock.now += 60
    look(watched)
    assert suspects(watched) == ()


def test_in_a_large_heap_the_programs_own_collection_is_awaited(
    watched: Retention, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MOST_BLOCKS_TO_COLLECT", 0)
    HELD.append(Request())
    watched.track(HELD[0], "request", 30.0)
    clock.now += 60
    look(watched)
    assert suspects(watched) == ()
    gc.collect()
    watched.look(heap_in_sight=False)  # it may have seen newborn objects alone
    assert suspects(watched) == ()
    look(watched)
    gc.collect()
    look(watched)
    assert len(suspects(watched)) == 1
    watched.look(heap_in_sight=False)
    assert len(suspects(watched)) == 1  # what is known stays


def test_where_no_collection_ever_comes_none_is_awaited(
    watched: Retention, clock: Clock
) -> None:
    HELD.append(Request())
    watched.track(HELD[0], "request", 30.0)
    clock.now += 60
    gc.disable()
    try:
        look(watched)
    finally:
        gc.enable()
    assert len(suspects(watched)) == 1


def test_many_of_a_name_are_one_suspect(watched: Retention, clock: Clock) -> None:
    HELD.extend(Request() for _ in range(3))
    for item in HELD:
        watched.track(item, "request", 30.0)
        clock.now += 1
    clock.now += 60
    look(watched)
    (found,) = suspects(watched)
    assert found.hint.startswith("3 'request' are still there, the oldest 33 s after")


def test_a_bounded_number_is_watched_and_what_died_makes_room(
    watched: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MOST_TRACKED", 2)
    one, two, three = Request(), Request(), Request()
    found = [watched.track(item, "request", 1.0) for item in (one, two, three)]
    assert found == [True, True, False]
    del one
    assert watched.track(three, "request", 1.0)


def test_what_allows_no_weak_reference_says_so() -> None:
    with pytest.raises(
        LeakguardError,
        match=r"^dict objects cannot be tracked: their type allows no weak reference",
    ):
        leakguard.Guard().track({}, "order")


def test_the_guard_says_once_when_no_more_are_watched(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "MOST_TRACKED", 0)
    monkeypatch.setattr(process(), "told_full", False)
    guard, item = leakguard.Guard(), Request()
    guard.track(item, "request")
    guard.track(item, "request")
    assert len(caplog.records) == 1


def test_a_started_guard_looks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()

    def search(_: Retention) -> None:
        looked.set()

    monkeypatch.setattr(Retention, "search", search)
    process().retention.reset()  # it rests in proportion to what others had it do
    item = Request()
    with leakguard.Guard() as guard:
        guard.track(item, "request", grace_seconds=0.001)
        assert looked.wait(60.0)


def test_looks_are_rare_in_proportion_to_their_cost(
    watched: Retention, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def slow(*_: object, **__: object) -> None:
        looks.append(clock.now)
        clock.now += 0.1

    searches: list[float] = []
    monkeypatch.setattr(watched, "look", slow)
    monkeypatch.setattr(watched, "search", lambda: searches.append(clock.now))
    watched.tick()
    assert looks == []  # nothing is watched
    item = Request()
    watched.track(item, "request", 1.0)
    for _ in range(250):
        watched.tick(heap_in_sight=len(looks) != 1)
        clock.now += 1
    assert len(looks) == 3
    assert len(searches) == 2


def test_a_forked_child_begins_with_nothing(watched: Retention, shelf: Shelf) -> None:
    item = Request()
    watched.track(item, "request", 1.0)
    acquire(shelf, item)
    watched.reset()
    assert shelf.holds == {}
    assert shelf.look(0.0, 1.0) == []


def test_a_line_holds_what_it_acquired_until_it_is_dropped(
    shelf: Shelf, clock: Clock
) -> None:
    items = [Request() for _ in range(4)]
    for item in items:
        acquire(shelf, item)
        clock.now += 10
    shelf.drop(id(items[0]))
    shelf.drop(id(items[0]))
    del item
    items.pop()
    ((line, now),) = shelf.look(clock.now, 25.0)
    assert (now.acquired, now.unreleased, now.dropped) == (4, 2, 1)
    assert (now.overdue, now.oldest_seconds) == (1, 30.0)
    assert now.frame[0] == __file__
    assert now.type == f"{__name__}.Request"
    oldest = shelf.oldest(line)
    assert oldest is not None
    assert oldest() is items[1]


def test_of_a_full_shelf_the_rest_is_estimated(shelf: Shelf) -> None:
    shelf.most_holds = 4
    for _ in range(8):
        HELD.append(Request())
        acquire(shelf, HELD[-1])
    shelf.drop(id(HELD[0]))
    ((_, now),) = shelf.look(0.0, 0.0)
    assert (now.acquired, now.unreleased) == (8, 6)


def test_places_are_told_apart_up_to_a_bound(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "MOST_PLACES", 1)
    item = Request()
    acquire(shelf, item)
    acquire(shelf, item)
    shelf.lose(("elsewhere.py", 3))
    found = {now.frame for _, now in shelf.look(0.0, 0.0)}
    assert len(found) == 2
    assert resources.ELSEWHERE in found


def test_files_that_are_remembered_are_bounded(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "MOST_FILES", 2)
    for number in range(5):
        exec(
            compile("acquire(shelf, item)", f"<made {number}>", "exec"),
            {
                "acquire": acquire,
                "shelf": shelf,
                "item": shelf,
            },
        )
    assert len(shelf.book.libraries) <= 2
    ((_, now),) = shelf.look(0.0, 0.0)
    assert (now.acquired, now.frame[0]) == (5, __file__)


def test_without_the_application_it_is_the_line_that_calls(shelf: Shelf) -> None:
    threads = [threading.Thread(target=acquire, args=(shelf, shelf)) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    ((_, now),) = shelf.look(0.0, 0.0)
    assert now.frame[0] == threading.__file__
    assert now.acquired == 2


def test_beyond_a_greenlet_is_who_switched_to_it(shelf: Shelf) -> None:
    greenlet = pytest.importorskip("greenlet")
    library = ExitStack()
    library.callback(acquire, shelf, shelf)
    greenlet.greenlet(library.close).switch()
    ((_, now),) = shelf.look(0.0, 0.0)
    assert now.frame[0] == __file__


def test_nothing_that_goes_wrong_reaches_the_program(
    watched: Retention, shelf: Shelf
) -> None:
    acquire(shelf, 3)  # no weak reference to an int
    assert watched.book.failures == 1

    asked = watched.book.shelf(
        Kind("asked", "other", "Close it."), is_open=lambda *_: True, size=len
    )
    item = Request()
    acquire(asked, item)
    asked.is_open = lambda item, _: bool(item.closed)
    ((_, now),) = asked.look(0.0, 0.0)
    assert (now.acquired, now.unreleased) == (1, 0)  # it has no size
    assert len(asked.holds) == 1  # and cannot say that it is closed


def test_a_reference_that_came_later_is_not_dropped_for_an_older_one(
    shelf: Shelf,
) -> None:
    one, other = Request(), Request()

    def take(item: object) -> None:
        shelf.take(item, "key")

    take(one)
    take(other)
    kept = shelf.holds["key"]
    del one
    assert shelf.holds["key"] is kept


def test_a_closed_shelf_takes_nothing(watched: Retention, shelf: Shelf) -> None:
    item = Request()
    watched.book.close()
    acquire(shelf, item)
    assert shelf.holds == {}
    assert sys.getrefcount(item) == 2
    assert watched.book.shelves == {}
