"""How the work under diagnosis is called, and what is kept of it: nothing."""

from __future__ import annotations

import functools
import weakref
from itertools import count
from typing import TYPE_CHECKING

import pytest

from leakguard._runtime.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HISTORY: list[object] = []


class Order:
    def __init__(self, number: int) -> None:
        self.number = number


@pytest.fixture(autouse=True)
def _emptied() -> Iterator[None]:
    yield
    HISTORY.clear()


def _nothing() -> None:
    return None


def _numbers(work: Callable[..., object]) -> list[object]:
    """Return what three calls of the work get."""
    subject = Work(work, count().__next__)  # type: ignore[arg-type]
    assert subject.run(3) == 3
    assert subject.calls == 3
    return HISTORY[:]


def test_work_may_take_the_number_of_the_call() -> None:
    assert _numbers(lambda number: HISTORY.append(number))  # noqa: PLW0108 - the case == [0, 1, 2]


def test_work_may_take_nothing() -> None:
    assert _numbers(lambda: HISTORY.append("called")) == ["called"] * 3


@pytest.mark.parametrize("name", ["i", "n", "number", "index", "call"])
def test_an_optional_number_is_given(name: str) -> None:
    work = eval(f"lambda {name}=7: kept.append({name})", {"kept": HISTORY})
    assert _numbers(work) == [0, 1, 2]


@pytest.mark.parametrize(
    "signature", ["size=7", "*, size=7", "size=7, n=8", "*sizes, size=7", "size=7, **n"]
)
def test_optional_parameters_keep_their_defaults(signature: str) -> None:
    work = eval(f"lambda {signature}: kept.append(size)", {"kept": HISTORY})
    assert _numbers(work) == [7, 7, 7]


@pytest.mark.parametrize("signature", ["*, n=7", "*n", "**n", "*, number=7, other=8"])
def test_a_number_is_only_given_where_it_can_be_taken(signature: str) -> None:
    work = eval(f"lambda {signature}: kept.append('called')", {"kept": HISTORY})
    assert _numbers(work) == ["called"] * 3
    assert "called" in HISTORY
    if signature == "*n":
        args = eval("lambda *n: kept.append(n)", {"kept": HISTORY})
        HISTORY.clear()
        assert _numbers(args) == [(), (), ()]


def test_a_builtin_that_has_no_signature_is_called_with_nothing() -> None:
    assert _numbers(dict) == []
    assert _numbers(type("Row", (), {})) == []


def test_methods_and_partials_are_work_too() -> None:
    assert _numbers(HISTORY.append) == [0, 1, 2]
    HISTORY.clear()
    assert _numbers(functools.partial(HISTORY.append, "part")) == ["part"] * 3


def test_results_are_not_kept() -> None:
    made: list[weakref.ref[Order]] = []

    def work(number: int) -> Order:
        order = Order(number)
        made.append(weakref.ref(order))
        return order

    subject = Work(work, count().__next__)  # type: ignore[arg-type]
    subject.run(5)
    assert [order() for order in made] == [None] * 5


def test_a_run_ends_with_its_calls_or_its_time() -> None:
    subject = Work(_nothing, count().__next__)  # type: ignore[arg-type]
    assert subject.run(4) == 4
    assert subject.run(100, until=20) < 20
    assert subject.run(100, until=0) == 1, "at least one call"
    assert subject.seconds > 0
