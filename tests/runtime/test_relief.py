"""Reliefs: one at a time, in a thread of their own, and none can harm the program."""

from __future__ import annotations

import functools
import gc
import threading
import time
from typing import TYPE_CHECKING, NoReturn
from unittest import mock

import pytest

from leakguard._core.policy import Action
from leakguard._runtime import relief as module
from leakguard._runtime.relief import (
    COLLECT_SHARE,
    KEPT_RELIEFS,
    LONGEST_SECONDS,
    MOST_FAILURES,
    Reliefs,
    Weakly,
    name_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard._core.policy_table import ActionKind, Level

PATIENCE_SECONDS = 30.0


def wait(until: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < give_up_at, "it takes too long"
        time.sleep(0.002)


class World:
    """Memory, collector and clocks that are the test's to set."""

    def __init__(self) -> None:
        self.rss: int | None = 1_000
        self.now, self.cpu, self.collect_seconds = 100.0, 0.0, 0.0
        self.collected: list[int] = []
        self.trims = 0
        self.reliefs = Reliefs(
            rss_bytes=lambda: self.rss,
            collect=self.collect,
            trim=self.trim,
            clock=lambda: self.now,
            cpu_clock=lambda: self.cpu,
        )

    def collect(self, generation: int) -> int:
        self.collected.append(generation)
        self.cpu += self.collect_seconds
        return 0

    def trim(self) -> bool:
        self.trims += 1
        return True

    def free(self, size: int = 300) -> None:
        assert self.rss is not None
        self.rss -= size

    def ask(
        self, kind: ActionKind = "callbacks", level: Level = "high", held: float = 0.0
    ) -> None:
        self.reliefs.ask(Action(kind, level, held, "a test"))

    def done(self) -> None:
        wait(lambda: self.reliefs._thread is None)

    def ask_and_wait(
        self, kind: ActionKind = "callbacks", level: Level = "high", held: float = 0.0
    ) -> None:
        self.ask(kind, level, held)
        self.done()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.reliefs.stop()


@pytest.fixture
def hanging(world: World) -> Iterator[threading.Event]:
    """A relief that hangs until the event is set, and has been asked for."""
    over, begun = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        over.wait(60.0)

    world.reliefs.add(hang, "high")
    world.ask()
    assert begun.wait(PATIENCE_SECONDS)
    yield over
    over.set()


def test_callbacks_are_called_by_level_the_mild_ones_first(world: World) -> None:
    called: list[str] = []
    levels: tuple[Level, ...] = ("elevated", "high", "critical")
    for level in reversed(levels):
        world.reliefs.add(functools.partial(called.append, level), level)
    for level in levels:
        world.ask_and_wait("callbacks", level)
    assert called == [
        *("elevated",),
        *("elevated", "high"),
        *("elevated", "high", "critical"),
    ]


def test_they_run_elsewhere_and_one_at_a_time(world: World) -> None:
    names: list[str] = []
    running: list[int] = []

    def relief() -> None:
        running.append(1)
        names.append(threading.current_thread().name)
        assert len(running) == 1
        running.pop()

    for _ in range(5):
        world.reliefs.add(relief, "high")
    for kind in ("callbacks", "collect", "trim"):
        world.ask(kind)
    world.done()
    assert names == ["leakguard-relief"] * 5
    assert world.reliefs.disabled() == ()
    assert (world.collected, world.trims) == ([2], 1)


def test_each_tells_what_it_gave_back(world: World) -> None:
    world.reliefs.add(world.free, "high")
    world.ask_and_wait()
    world.rss = None
    world.ask_and_wait("trim")
    one, other = world.reliefs.history()
    assert one.name == f"{__name__}.World.free"
    assert (one.freed_bytes, one.at_seconds, one.error) == (300, 100.0, None)
    assert (other.name, other.freed_bytes) == ("heap trim", None)


def test_the_history_is_bounded(world: World) -> None:
    for _ in range(KEPT_RELIEFS + 5):
        world.ask_and_wait("trim")
    assert len(world.reliefs.history()) == KEPT_RELIEFS


def test_what_is_removed_is_not_called(world: World) -> None:
    job = world.reliefs.add(world.free, "high")
    world.reliefs.remove([job])
    world.ask_and_wait()
    assert world.reliefs.history() == ()


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_what_one_raises_is_logged_once_and_after_three_times_it_is_disabled(
    world: World, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def fail() -> NoReturn:
        calls.append(1)
        raise error("of a user's data")

    world.reliefs.add(fail, "high")
    world.reliefs.add(world.free, "high")
    for _ in range(5):
        world.ask_and_wait()
    assert len(calls) == MOST_FAILURES
    name = name_of(fail)
    assert [record.getMessage() for record in caplog.records] == [
        f"the relief {name} failed: {error.__name__}",
        f"the relief {name} failed: {error.__name__}, and is not called any more",
    ]
    assert world.reliefs.disabled() == (name,)
    assert world.rss == 1_000 - 5 * 300  # the other one goes on
    assert world.reliefs.history()[0].error == error.__name__


def test_one_that_takes_long_fails_too(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def slow() -> None:
        world.now += LONGEST_SECONDS + 1

    world.reliefs.add(slow, "high")
    for _ in range(MOST_FAILURES):
        world.ask_and_wait()
    assert world.reliefs.disabled() == (name_of(slow),)
    assert "took 11 s" in caplog.text


def test_one_that_hangs_holds_up_no_other(
    world: World, hanging: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    world.reliefs.watch()
    world.ask("trim")
    assert world.trims == 0
    world.now += LONGEST_SECONDS + 1
    world.reliefs.watch()
    wait(lambda: world.trims == 1)
    world.ask_and_wait()  # it is not called while it hangs
    world.reliefs.watch()
    job = world.reliefs._callbacks[0]
    assert [record.getMessage() for record in caplog.records] == [
        f"the relief {job.name} still runs after 10 s"
    ]
    assert job.failures == 1
    hanging.set()
    wait(lambda: job.begun_at is None)
    world.ask_and_wait()  # it is over, so it may come again
    assert job.failures == 1
    assert len(world.reliefs.history()) == 3


def test_one_that_ends_just_when_it_is_found_hanging_is_left(
    world: World, hanging: threading.Event
) -> None:
    world.now += LONGEST_SECONDS + 1
    clock = world.reliefs._clock

    def late_clock() -> float:
        world.reliefs._now = None  # as the thread does when it has ended
        return clock()

    with mock.patch.object(world.reliefs, "_clock", late_clock):
        world.reliefs.watch()
    assert world.reliefs._callbacks[0].failures == 0
    hanging.set()


def test_stopping_does_not_wait_for_one_that_hangs(
    world: World, hanging: threading.Event
) -> None:
    world.ask("trim")
    begun = time.monotonic()
    world.reliefs.stop(0.05)
    assert time.monotonic() - begun < 5.0
    hanging.set()
    world.done()
    assert world.trims == 0


def test_a_child_begins_anew_and_keeps_the_callbacks(
    world: World, hanging: threading.Event
) -> None:
    world.reliefs.add(world.free, "high")
    before = world.reliefs._thread
    world.reliefs.reset()
    world.ask_and_wait("trim")
    assert world.trims == 1
    assert [relief.name for relief in world.reliefs.history()] == ["heap trim"]
    hanging.set()
    assert before is not None
    before.stop(PATIENCE_SECONDS)
    world.ask_and_wait()
    assert world.rss == 700


def test_without_threads_nothing_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "DaemonThread", none)
    world.ask("trim")
    monkeypatch.undo()
    world.ask_and_wait("collect")
    assert (world.trims, world.collected) == (0, [2])


def test_collections_take_a_small_share_of_the_time(world: World) -> None:
    world.collect_seconds = 0.5
    for _ in range(600):  # ten minutes, asked for every second
        world.ask_and_wait("collect")
        world.now += 1.0
    seconds = len(world.collected) * world.collect_seconds
    assert 0.8 * COLLECT_SHARE < seconds / 600 <= COLLECT_SHARE


def test_where_the_program_wants_no_collector_only_a_lasting_crisis_starts_it(
    world: World,
) -> None:
    gc.disable()
    try:
        world.ask_and_wait("collect", "high", 60.0)
        world.ask_and_wait("collect", "critical", 0.0)
        assert world.collected == []
        world.ask_and_wait("collect", "critical", 5.0)
        assert world.collected == [2]
    finally:
        gc.enable()


def test_a_huge_heap_is_collected_in_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY_BLOCKS", 10)
    world.ask_and_wait("collect")
    assert world.collected == [1]


def test_the_real_ones_give_memory_back() -> None:
    reliefs = Reliefs()
    one, other = _Cyclic(), _Cyclic()
    one.other, other.other = other, one
    alive = Weakly(one, "touch")
    del one, other
    for kind in ("collect", "trim"):
        reliefs.ask(Action(kind, "high", 0.0, "a test"))
    wait(lambda: len(reliefs.history()) == 2)
    reliefs.stop()
    assert alive.is_dead
    assert [relief.error for relief in reliefs.history()] == [None, None]


class _Cyclic:
    other: _Cyclic

    def touch(self) -> None:
        raise AssertionError


class Cache(dict[str, str]):
    """A cache that can be referenced weakly."""


def test_a_weak_one_goes_with_its_object(world: World) -> None:
    cache, lock = Cache(a="b"), mock.MagicMock()
    weak = Weakly(cache, "clear", lock)
    world.reliefs.add(weak, "high")
    world.ask_and_wait()
    assert cache == {}
    assert lock.__enter__.call_count == lock.__exit__.call_count == 1
    assert world.reliefs.history()[0].name == f"{__name__}.Cache.clear"
    del cache
    assert weak.is_dead
    weak()
    world.ask_and_wait()
    assert world.reliefs._callbacks == []


def test_names_are_of_code_and_not_of_values() -> None:
    assert name_of(wait) == f"{__name__}.wait"
    assert name_of(functools.partial(print, "secret")) == "functools.partial"
    assert name_of(Cache(a="secret").clear) == "Cache.clear"
    assert len(name_of(type("x" * 5_000, (), {}))) == 200
