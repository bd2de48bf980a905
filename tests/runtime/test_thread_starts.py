"""Threads under a hard heap limit: with a reserve, and one that dies is told of."""

from __future__ import annotations

import sys
import threading
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from leakguard._runtime import thread_starts as module
from leakguard._runtime.thread_starts import ThreadStarts

if TYPE_CHECKING:
    from collections.abc import Iterator


class Room:
    """Counts who is in it, and who has been."""

    def __init__(self) -> None:
        self.within = self.times = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.within += 1
        self.times += 1
        yield
        self.within -= 1


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    starts = ThreadStarts(room)
    starts.patch()
    starts.patch()
    yield room
    starts.undo()
    starts.undo()


class Begins(threading.Thread):
    """Notes whether there was room when it began."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.room, self.was_within = room, 0

    def _set_ident(self) -> None:
        self.was_within = self.room.within
        super()._set_ident()  # type: ignore[misc]


class Dies(threading.Thread):
    """As one that finds no memory for its first steps."""

    def _bootstrap(self) -> None:
        raise MemoryError


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException] | None]:
    """Return what the interpreter told of threads that it has lost."""
    types: list[type[BaseException] | None] = []
    hook = types.append
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: hook(lost.exc_type))
    return types


def test_a_thread_begins_with_room_and_is_a_usual_one(room: Room) -> None:
    thread = Begins(room)
    event = thread._started  # type: ignore[attr-defined]
    thread.start()
    thread.join()
    assert (thread.was_within, room.within, room.times) == (1, 0, 1)
    assert thread._started is event  # type: ignore[attr-defined]
    assert "_bootstrap" not in vars(thread)
    assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="only be started once"):
        thread.start()


def test_a_slow_thread_is_waited_for(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 1e-6)
    for _ in range(20):
        thread = Begins(room)
        thread.start()
        thread.join()
        assert thread.ident is not None


@pytest.mark.usefixtures("room")
def test_the_start_of_a_thread_that_dies_fails(told: list[object]) -> None:
    before = threading.enumerate()
    for _ in range(2):  # the second start is as good as the first
        thread = Dies()
        with pytest.raises(RuntimeError, match="can't start new thread"):
            thread.start()
        assert threading.enumerate() == before
        assert not thread.is_alive()
    assert told == [MemoryError, MemoryError]


def test_where_no_thread_can_be_made_it_may_be_tried_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = (
        "_start_new_thread" if sys.version_info < (3, 13) else "_start_joinable_thread"
    )

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no more of them")

    thread = Begins(room)
    with monkeypatch.context() as patch:
        patch.setattr(threading, name, refuse)
        with pytest.raises(RuntimeError, match="no more"):
            thread.start()
    thread.start()
    thread.join()
    assert thread.ident is not None
    assert room.times == 2


def test_green_threads_need_no_room(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "is_green", lambda: True)
    thread = Begins(room)
    thread.start()
    thread.join()
    assert room.times == 0


def test_all_is_put_back_but_what_another_has_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = threading.Thread.start
    starts = ThreadStarts(Room())
    starts.patch()
    assert threading.Thread.start is not original
    assert threading.Thread.start.__doc__ == original.__doc__
    starts.undo()
    assert threading.Thread.start is original
    starts.patch()
    theirs = types.FunctionType(original.__code__, original.__globals__)
    monkeypatch.setattr(threading.Thread, "start", theirs)
    starts.undo()
    assert threading.Thread.start is theirs
    monkeypatch.undo()
    threading.Thread.start = original  # type: ignore[method-assign]
