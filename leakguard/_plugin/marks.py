"""The markers as records: what they ask for, or one sentence on what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

from leakguard._core.belongings import KINDS
from leakguard._core.trial import GROWTH_KINDS
from leakguard._plugin.settings import (
    DEFAULT_LIMIT,
    limit_of_all,
    refuse,
    seconds,
    size,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Per = Literal["test", "call"]
#: Runs that must all leave the same behind.
RUNS = 5


@dataclass(frozen=True, slots=True)
class LimitGrowth:
    """``limit_growth``: what each call may keep, and how to find out."""

    limit_bytes_per_call: int
    seconds: float
    calls: int | None = None
    warmup: int | None = None
    kinds: tuple[str, ...] = GROWTH_KINDS
    per: Per = "test"


@dataclass(frozen=True, slots=True)
class NoLeaks:
    """``no_leaks``: what may not be left behind."""

    kinds: tuple[str, ...]
    ignore: tuple[str, ...]
    runs: int


@dataclass(frozen=True, slots=True)
class KnownLeak:
    """``known_leak``: why it is let pass, and up to which growth per call."""

    reason: str
    limit_bytes_per_call: int | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that is asked of one test."""

    growth: LimitGrowth | None
    leftovers: NoLeaks | None
    known: KnownLeak | None


def asked_of(item: pytest.Item) -> Asked:
    """Return what is asked of a test; the closest marker of each name counts.

    Raises:
        UsageError: a marker makes no sense; the sentence names the test.

    """
    return Asked(_growth(item), _leftovers(item), _known(item))


def _growth(item: pytest.Item) -> LimitGrowth | None:
    mark = item.get_closest_marker("limit_growth")
    if mark is None:
        limit = limit_of_all(item.config)
        unmarked = limit is None or item.get_closest_marker("no_leaks") is not None
        if limit is None or unmarked or not isinstance(item, pytest.Function):
            return None
        return LimitGrowth(limit, seconds(item.config))
    where = f"{item.nodeid}: limit_growth"
    given = _named(mark, ("limit",), where)
    limit = limit_of_all(item.config)
    found = LimitGrowth(
        size(given.pop("limit", DEFAULT_LIMIT if limit is None else limit), where),
        _number(given.pop("seconds", seconds(item.config)), "seconds", where),
        _whole(given.pop("calls", None), "calls", 1, where),
        _whole(given.pop("warmup", None), "warmup", 0, where),
        _choice(given.pop("kinds", GROWTH_KINDS), GROWTH_KINDS, where),
        given.pop("per", "test"),
    )
    _no_more(given, where)
    if found.per not in {"test", "call"}:
        refuse(f"{where}: per is 'test' or 'call', not {found.per!r}")
    _must_be_function(item, where)
    return found


def _leftovers(item: pytest.Item) -> NoLeaks | None:
    mark = item.get_closest_marker("no_leaks")
    if mark is None:
        return None
    where = f"{item.nodeid}: no_leaks"
    given = _named(mark, (), where)
    kinds = _choice(given.pop("kinds", tuple(KINDS)), tuple(KINDS), where)
    ignore = given.pop("ignore", ())
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    runs = _whole(given.pop("runs", RUNS), "runs", 2, where) or RUNS
    _no_more(given, where)
    _must_be_function(item, where)
    return NoLeaks(kinds, ignored, runs)


def _known(item: pytest.Item) -> KnownLeak | None:
    mark = item.get_closest_marker("known_leak")
    if mark is None:
        return None
    where = f"{item.nodeid}: known_leak"
    given = _named(mark, ("reason",), where)
    reason, limit = given.pop("reason", None), given.pop("limit", None)
    _no_more(given, where)
    if not isinstance(reason, str) or not reason.strip():
        refuse(
            f"{where} needs a reason, such as reason='SHOP-12: the cache has no end'"
        )
    return KnownLeak(reason, None if limit is None else size(limit, where))


def _named(mark: pytest.Mark, names: Sequence[str], where: str) -> dict[str, Any]:
    """Return a marker's arguments by name; ``names`` may be given by position."""
    if len(mark.args) > len(names):
        refuse(f"{where} takes {len(names) or 'no'} argument without a name")
    return {**dict(zip(names, mark.args, strict=False)), **mark.kwargs}


def _no_more(given: dict[str, Any], where: str) -> None:
    for name in given:
        refuse(f"{where} has no argument {name!r}")


def _whole(given: object, name: str, least: int, where: str) -> int | None:
    if given is None:
        return None
    if type(given) is not int or given < least:
        refuse(f"{where}: {name} is a whole number from {least} on, not {given!r}")
    return given


def _number(given: Any, name: str, where: str) -> float:  # noqa: ANN401 - checked here
    if type(given) not in {int, float} or not 0 < given < float("inf"):
        refuse(f"{where}: {name} is a number above 0, not {given!r}")
    return float(given)


def _choice(given: object, known: tuple[str, ...], where: str) -> tuple[str, ...]:
    chosen = (given,) if isinstance(given, str) else tuple(given)  # type: ignore[arg-type]
    for kind in chosen:
        if kind not in known:
            refuse(f"{where}: kinds are {', '.join(known)}, not {kind!r}")
    return chosen


def _must_be_function(item: pytest.Item, where: str) -> None:
    if not isinstance(item, pytest.Function):
        refuse(f"{where} is for test functions: this is a {type(item).__name__}")
