"""Live objects by type, and freezing the heap."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from leakguard._readers import heap
from leakguard._readers.heap import (
    MOST_FROZEN_AT_START,
    can_freeze,
    count_types,
    freeze,
    holders_of,
    live_type_counts,
    name_of_type,
    newborn_count,
    newborn_ids,
    objects_but_tuples,
    sampled_type_counts,
    type_name,
    unfreeze,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ASKED: list[int] = []


class _Text(str):
    __slots__ = ()

    def __str__(self) -> NoReturn:
        raise AssertionError

    __format__ = __hash__ = __eq__ = __str__  # type: ignore[assignment]


class _Hostile(type):
    """Every way in which a class can run code of its own."""

    def __getattribute__(cls, name: str) -> NoReturn:
        raise AssertionError(name)

    def __repr__(cls) -> NoReturn:
        raise AssertionError

    __instancecheck__ = __subclasscheck__ = __getattribute__  # type: ignore[assignment]


class Plain:
    class Inner:
        pass


def _hostile_class(metaclass: type = _Hostile) -> type:
    def never(*_: object) -> NoReturn:
        raise AssertionError

    namespace = {"__module__": "host", "__class__": property(never), "__eq__": never}
    return metaclass.__new__(metaclass, "Hostile", (), {**namespace, "__hash__": None})


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({}, "dict"),
        (Plain(), f"{__name__}.Plain"),
        (Plain.Inner(), f"{__name__}.Plain.Inner"),
        (Counter(), "collections.Counter"),
        (Plain, "type"),
    ],
)
def test_a_type_is_named_by_module_and_qualified_name(item: object, name: str) -> None:
    assert type_name(item) == name


def test_no_code_of_a_class_runs_to_name_it() -> None:
    kind = _hostile_class()
    assert name_of_type(kind) == "host.Hostile"
    assert type_name(object.__new__(kind)) == "host.Hostile"
    assert count_types([kind]) == {"host.Hostile": 1}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("app.models", "app.models.Odd"),
        (_Text("app"), "app.Odd"),
        ("", "Odd"),
        (None, "Odd"),
        (property(lambda _: 1 / 0), "Odd"),
    ],
)
def test_a_module_may_be_anything(module: object, name: str) -> None:
    found = name_of_type(type("Odd", (), {"__module__": module}))
    assert found == name
    assert type(found) is str


def test_a_module_may_be_missing() -> None:
    namespace: dict[str, Any] = {}
    exec("kind = type('Odd', (), {})", namespace)  # of a place without a __name__
    kind = namespace["kind"]
    with pytest.raises(AttributeError):
        _ = kind.__module__
    assert name_of_type(kind) == "Odd"


def test_objects_are_counted_by_type_most_frequent_first() -> None:
    kinds = [*([dict] * 2_500), list, list, Plain, int]
    counts = count_types(kinds)
    assert list(counts.items()) == [
        ("dict", 2_500),
        ("list", 2),
        ("int", 1),
        (f"{__name__}.Plain", 1),
    ]
    assert count_types([]) == {}


def test_types_of_one_name_are_counted_together() -> None:
    one, other = (type("Same", (), {"__module__": "app"}) for _ in range(2))
    assert count_types([one, other, other]) == {"app.Same": 3}


@pytest.mark.parametrize("method", ["__hash__", "__eq__"])
def test_classes_that_hash_or_compare_themselves_are_not_asked(method: str) -> None:
    def never(*_: object) -> NoReturn:
        raise AssertionError

    mixin = type("Mixin", (), {method: never})
    metaclass = type("Meta", (mixin, type), {})
    kind = _hostile_class(metaclass)
    assert metaclass in heap._self_hashing_metaclasses()
    assert count_types([kind, *([dict] * 2_000), kind]) == {
        "host.Hostile": 2,
        "dict": 2_000,
    }


def test_the_metaclasses_of_python_hash_as_type_does() -> None:
    from abc import ABCMeta
    from enum import EnumMeta

    assert not {type, ABCMeta, EnumMeta, _Hostile} & heap._self_hashing_metaclasses()


def test_the_census_counts_what_the_collector_sees() -> None:
    before = live_type_counts().get(f"{__name__}.Plain", 0)
    kept = [Plain() for _ in range(3_000)]
    assert live_type_counts()[f"{__name__}.Plain"] - before == len(kept)


@pytest.mark.parametrize(
    "look",
    [
        objects_but_tuples,
        newborn_ids,
        newborn_count,
        live_type_counts,
        sampled_type_counts,
        lambda: holders_of([ASKED]),
    ],
)
def test_no_collection_comes_while_tuples_are_held(look: Callable[[], object]) -> None:
    holder = (ASKED,)
    owners = []

    def collected(_phase: str, _info: dict[str, int]) -> None:
        owners.append(sys.getrefcount(holder))

    collected("", {})
    thresholds = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1)
    try:
        look()
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collected)
    assert len(owners) > 1
    assert set(owners) == {owners[0]}


@pytest.mark.parametrize("is_on", [True, False])
def test_the_collector_is_left_as_it_was(is_on: bool) -> None:  # noqa: FBT001
    if not is_on:
        gc.disable()
    try:
        newborn_ids()
        assert gc.isenabled() == is_on
        with pytest.raises(TypeError):
            heap._in_one_step(list, map(len, [1]))
        assert gc.isenabled() == is_on
    finally:
        gc.enable()


@pytest.mark.parametrize("every", [1, 2, 61])
def test_each_object_is_in_one_sample_of_all_that_can_be_drawn(every: int) -> None:
    kept = [Plain() for _ in range(40_000)]
    name = f"{__name__}.Plain"
    before = live_type_counts()[name]
    drawn = (sampled_type_counts(every, lambda _, n=n: n) for n in range(every))  # type: ignore[misc]
    counted = sum(sample[name] // every for sample in drawn)
    assert before >= len(kept)
    assert abs(counted - before) <= 3 * every  # the heap moves a little meanwhile


def test_the_sampled_census_estimates_the_full_one() -> None:
    kept = [Plain() for _ in range(60_000)]
    name = f"{__name__}.Plain"
    assert sampled_type_counts(1)[name] >= len(kept)
    # Five standard deviations of a sample of one in ten.
    assert abs(sampled_type_counts(10)[name] - len(kept)) < 5 * (60_000 * 10) ** 0.5


def test_the_first_of_each_stretch_is_drawn_by_whom_one_likes() -> None:
    counts = sampled_type_counts(97, lambda every: every - 1)
    assert all(count % 97 == 0 for count in counts.values())


def test_a_sample_leaves_the_programs_random_numbers_alone() -> None:
    import random

    random.seed(1)
    state = random.getstate()
    sampled_type_counts()
    assert random.getstate() == state


def test_only_what_was_born_since_is_seen_while_frozen() -> None:
    old = [Plain()]
    assert freeze()
    try:
        born = [Plain()]
        seen = objects_but_tuples()
        ids, number = newborn_ids(), newborn_count()
    finally:
        unfreeze()
    assert any(item is born for item in seen)
    assert not any(item is old for item in seen)
    assert len(seen) < 5_000
    assert id(born) in ids
    assert id(old) not in ids
    assert abs(len(ids) - number) < 10
    assert any(item is old for item in objects_but_tuples())
    assert can_freeze()


def test_a_heap_the_application_froze_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gc, "get_freeze_count", lambda: MOST_FROZEN_AT_START + 1)
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("frozen"))
    assert not can_freeze()
    assert not freeze()


def test_what_is_frozen_at_the_start_does_not_count_as_the_applications(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 375)  # CPython 3.12.1
    assert can_freeze()


def test_any_frozen_heap_is_larger_than_what_is_frozen_at_the_start() -> None:
    assert gc.get_freeze_count() < MOST_FROZEN_AT_START < len(gc.get_objects()) / 2


def test_a_free_threaded_heap_is_not_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert not can_freeze()


def test_an_interpreter_that_cannot_freeze_goes_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(gc, "freeze")
    assert not freeze()
