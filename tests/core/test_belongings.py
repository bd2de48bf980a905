"""What is left behind, by kind and name."""

from __future__ import annotations

import pytest

from leakguard._core.belongings import (
    KINDS,
    Belongings,
    Difference,
    Left,
    count_names,
    in_every,
    only,
    without,
)

BEFORE = Belongings(
    objects={"shop.Order": 3}, tasks={}, threads={"MainThread": 1}, files=None
)


def test_what_is_new_is_listed_kind_by_kind() -> None:
    now = Belongings(
        objects={"shop.Order": 5, "shop.User": 1},
        tasks={"poll": 2},
        threads={"MainThread": 1},
        files={"a.log": 1},
        connections={"socket": 1},
    )
    assert now.left_since(BEFORE) == (
        Left("objects", "shop.Order", 2),
        Left("objects", "shop.User", 1),
        Left("tasks", "poll", 2),
    )


def test_what_is_gone_is_not_listed() -> None:
    assert Belongings(objects={}, tasks={}, threads={}).left_since(BEFORE) == ()


def test_a_difference_reads_as_a_sentence() -> None:
    found = Difference((Left("threads", "worker-N", 2), Left("files", "a.log", 1)))
    assert str(found) == "2 threads (worker-N), 1 open file (a.log)"
    assert found
    assert found.of("threads") == {"worker-N": 2}
    assert not Difference()
    assert str(Difference()) == "nothing"


def test_numbers_in_names_are_all_the_same() -> None:
    names = ["worker-1", "worker-22", "socket:[991]", "at 0x7f01"]
    assert count_names(names) == {"worker-N": 2, "socket:[N]": 1, "at N": 1}


def test_only_what_every_run_leaves_counts() -> None:
    first = [Left("threads", "a", 3), Left("threads", "pool", 1)]
    second = [Left("files", "a", 1), Left("threads", "a", 2)]
    assert in_every([first, second]) == (Left("threads", "a", 2),)
    assert in_every([first]) == tuple(first)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ((), ["shop.Order", "shop.cart.Line"]),
        (("shop.*",), []),
        (("*.Line", "x"), ["shop.Order"]),
        (("shop.Orde",), ["shop.Order", "shop.cart.Line"]),
        (("shop?Order",), ["shop.Order", "shop.cart.Line"]),
    ],
)
def test_what_is_ignored_is_named_by_pattern(
    patterns: tuple[str, ...], names: list[str]
) -> None:
    left = [Left("objects", "shop.Order", 1), Left("objects", "shop.cart.Line", 1)]
    assert [item.name for item in without(left, patterns)] == names


def test_kinds_can_be_chosen() -> None:
    found = only(BEFORE, ["threads"])
    assert found == Belongings(threads={"MainThread": 1})


def test_every_kind_has_its_advice() -> None:
    patterns = {kind: Left(kind, "shop.Order", 1).advice[0] for kind in KINDS}
    assert patterns == {
        "objects": "other",
        "tasks": "task",
        "threads": "thread",
        "files": "unclosed-connection",
        "connections": "unclosed-connection",
    }
