"""Counts of live objects under names: few, without tracing, never of half a heap."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from leakguard import LeakguardError
from leakguard._readers.process import Counters
from leakguard._runtime.baselines import KEPT_TYPES, MOST_BASELINES, Baselines
from leakguard._runtime.window import newborn_window

if TYPE_CHECKING:
    from collections.abc import Iterator


class World:
    """A heap to be counted, and a clock."""

    def __init__(self) -> None:
        self.types = {"dict": 10, "shop.Order": 3}
        self.rss_bytes = 1000
        self.now = 50.0
        self.open = 0
        self.baselines = Baselines(
            counters=self.counters,
            count_types=lambda: dict(self.types),
            collect=self.collect,
            whole_heap=self.whole_heap,
            clock=lambda: self.now,
        )

    def counters(self) -> Counters:
        assert self.open == 1
        return Counters(self.rss_bytes, None, 1, 1, None)

    def collect(self) -> int:
        assert self.open == 1
        self.rss_bytes -= 100
        self.now += 0.5
        return 42

    @contextmanager
    def whole_heap(self) -> Iterator[None]:
        self.open += 1
        yield
        self.open -= 1


@pytest.fixture
def world() -> World:
    return World()


def test_what_has_changed_since_a_baseline(world: World) -> None:
    world.baselines.set("one")
    world.types, world.rss_bytes, world.now = {"dict": 12, "list": 1}, 1500, 60.0
    change = world.baselines.change("one")
    assert change is not None
    assert change.seconds == 10.0
    assert change.before.counters.rss_bytes == 1000
    assert change.now.rss_bytes == 1500
    assert [tuple(row) for row in change.types] == [
        ("dict", 2, 12),
        ("list", 1, 1),
        ("shop.Order", -3, 0),
    ]
    assert world.baselines.age_seconds("one") == 10.0


def test_without_a_name_the_last_one_set_is_meant(world: World) -> None:
    assert world.baselines.change() is None
    world.baselines.set("one")
    world.baselines.set("two")
    world.baselines.set("one")
    assert world.baselines.names() == ("two", "one")
    change = world.baselines.change()
    assert change is not None
    assert change.before.name == "one"
    assert world.baselines.change("three") is None
    assert world.baselines.age_seconds("three") is None


def test_there_are_few_baselines_of_few_types(world: World) -> None:
    world.types = {f"shop.T{number}": 1 for number in range(KEPT_TYPES + 5)}
    for number in range(MOST_BASELINES + 3):
        made = world.baselines.set(f"b{number}")
        assert (len(made.types), made.left_out) == (KEPT_TYPES, 5)
    names = world.baselines.names()
    assert len(names) == MOST_BASELINES
    assert names[-1] == f"b{MOST_BASELINES + 2}"
    assert "b0" not in names


def test_a_collection_tells_what_it_did(world: World) -> None:
    done = world.baselines.collect()
    assert (done.objects, done.seconds) == (42, 0.5)
    assert (done.before.rss_bytes, done.after.rss_bytes) == (1000, 900)


class Ordered:
    pass


def test_real_objects_are_counted_and_nothing_is_traced() -> None:
    baselines = Baselines()
    name = f"{Ordered.__module__}.{Ordered.__qualname__}"
    baselines.set("one")
    kept = [Ordered() for _ in range(50)]
    change = baselines.change()
    assert change is not None
    assert {row.type: row.growth for row in change.types}[name] == len(kept)
    assert not tracemalloc.is_tracing()


def test_real_garbage_is_collected() -> None:
    gc.collect()
    garbage: list[object] = []
    garbage.append(garbage)
    del garbage
    assert Baselines().collect().objects >= 1


def test_nothing_is_counted_while_a_window_hides_the_heap() -> None:
    baselines = Baselines()
    with newborn_window():
        for ask in (baselines.set, baselines.change, lambda _name: baselines.collect()):
            if ask == baselines.change:
                assert baselines.change("none") is None
                continue
            with pytest.raises(LeakguardError):
                ask("one")
    baselines.set("one")
    with newborn_window(), pytest.raises(LeakguardError):
        baselines.change("one")
