"""What an owner keeps, measured or reckoned, without running anybody's code."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NoReturn

import pytest

from leakguard._readers import retained as retaining
from leakguard._readers.retained import retained

if TYPE_CHECKING:
    from collections.abc import Callable


class Node:
    def __init__(self, size: int) -> None:
        self.text = b"x" * size
        self.kind = type(self)


class Sly:
    def __sizeof__(self) -> NoReturn:
        raise AssertionError


def test_a_few_entries_are_measured_all() -> None:
    found = retained([bytes(1_000) for _ in range(20)])
    assert not found.is_estimate
    assert found.size_bytes == pytest.approx(20 * 1_033 + 250, rel=0.05)


def test_many_entries_are_reckoned_from_some() -> None:
    found = retained({number: bytes(1_000) for number in range(10_000)})
    assert found.is_estimate
    assert found.size_bytes == pytest.approx(10_000 * (1_033 + 28 + 30), rel=0.1)


def test_entries_of_a_deque_are_measured_from_both_ends() -> None:
    found = retained(deque(bytes(1_000) for _ in range(40)))
    assert not found.is_estimate
    assert found.size_bytes == pytest.approx(40 * 1_033, rel=0.05)


def test_what_entries_share_counts_once() -> None:
    shared = bytes(1_000_000)
    found = retained([(shared, number) for number in range(1_000)])
    assert 1_000_000 < found.size_bytes < 1_300_000


def test_an_object_that_is_no_container_is_measured_with_all_below() -> None:
    found = retained(Node(5_000))
    assert not found.is_estimate
    assert 5_000 < found.size_bytes < 6_000


def test_a_chain_beyond_what_is_looked_at_is_an_estimate() -> None:
    head: list[object] = []
    for _ in range(10_000):
        head = [head]
    found = retained((head,))
    assert found.is_estimate


def test_long_containers_below_an_entry_are_sampled() -> None:
    assert retained([[0] * 100_000]).size_bytes > 800_000


def test_no_size_method_of_a_user_runs() -> None:
    assert retained([Sly() for _ in range(10)], exact=False).size_bytes > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: [bytes(1_000) for _ in range(500)],
        lambda: {f"key {number}": [number] * 5 for number in range(500)},
    ],
)
def test_pympler_measures_the_same(make: Callable[[], object]) -> None:
    from pympler import asizeof

    kept = make()
    found = retained(kept, exact=True)
    assert not found.is_estimate
    assert found.size_bytes == pytest.approx(asizeof.asizeof(kept), rel=0.1)


def test_large_things_are_reckoned_even_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retaining, "_MEASURED_OBJECTS", 90)
    kept = [[number] for number in range(100)]
    found = retained(kept, exact=True)
    assert found.is_estimate
    monkeypatch.undo()
    measured = retained(kept, exact=True)
    assert not measured.is_estimate
    assert found.size_bytes == pytest.approx(measured.size_bytes, rel=0.1)


def test_what_has_no_size_of_its_own_counts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retaining, "mro_of", lambda _kind: ())
    assert retaining._size_of([]) == 0
