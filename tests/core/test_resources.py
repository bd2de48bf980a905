"""When what is held is a leak, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leakguard._core.records import Owner, Site
from leakguard._core.resources import (
    Counts,
    Kind,
    Standing,
    accuse_line,
    accuse_tracked,
    rate_per_call,
    rises,
    suspicion,
    with_retained,
)
from tests.core.builders import APP, NAMES, quick

POOLED = Kind("check-outs", "unclosed-connection", "Give it back.", nature="borrowed")
OPENED = Kind("files", "unclosed-connection", "Close it.", "with open(): ...")
CACHED = Kind(
    "caches", "unbounded-cache", "Bound it.", counted_as="entries are in this cache"
)
RISING, FLAT = tuple(range(10)), (1, 3, 4, 9, 9, 9, 9)


def standing(kind: Kind = OPENED, **values: object) -> Standing:
    known = {"acquired": 90, "unreleased": 9, "overdue": 9, "oldest_seconds": 300.0}
    return Standing(kind, (APP, 41), **{**known, **values})  # type: ignore[arg-type]


def sure(now: Standing, counts: tuple[int, ...] = (), refused: int = 0) -> float | None:
    return suspicion(now, Counts(counts), refused=refused, grace_seconds=60.0)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (RISING, True),
        ((0, 0, 1, 1, 2, 2), True),
        (FLAT, False),  # it has filled
        ((0, 0, 0, 0, 5, 9), False),  # lately, not from third to third
        ((4, 5, 4, 5, 4, 5, 4, 5), False),  # it comes and goes
        ((1, 2, 3, 4, 5), False),  # too little to go by
    ],
)
def test_what_rises_from_third_to_third_rises(
    counts: tuple[int, ...], *, expected: bool
) -> None:
    assert rises(counts) is expected


@given(st.lists(st.integers(0, 1_000), min_size=3))
@quick
def test_the_order_of_the_counts_is_all_that_matters(counts: list[int]) -> None:
    assert rises(counts, least=3) == rises([3 * n + 7 for n in counts], least=3)
    assert not (rises(counts, least=3) and rises(counts[::-1], least=3))


@given(st.integers(0, 300))
@example(300)
@quick
def test_of_many_counts_a_bounded_number_is_kept_at_equal_distances(looks: int) -> None:
    counts = Counts()
    for number in range(looks):
        counts = counts.plus(number)
    assert len(counts.kept) <= 24
    assert len({after - before for before, after in pairwise(counts.kept)}) <= 1


def test_what_is_owned_is_suspected_when_it_rises() -> None:
    assert sure(standing(), RISING) == 0.95
    assert sure(standing(), FLAT) is None
    assert sure(standing(overdue=4), RISING) is None
    assert sure(standing(replace(OPENED, nature="shown")), RISING) is None


def test_what_is_borrowed_is_suspected_when_it_goes_on() -> None:
    two = standing(POOLED, overdue=2, newest_overdue_seconds=100.0)
    assert sure(two) == 0.8
    assert sure(two, RISING) == 0.95
    assert sure(two._replace(overdue=1)) is None  # one that listens, maybe
    at_once = two._replace(newest_overdue_seconds=299.0)
    assert sure(at_once) is None  # threads that borrow for good
    assert sure(at_once, refused=1) == 0.8
    lost = standing(replace(POOLED, collected="lost"), overdue=0, dropped=2)
    assert sure(lost) == 0.8
    assert sure(lost._replace(kind=POOLED)) is None  # they went back by themselves


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(0, 5), (1, 6), (2, 7), (10, 15)], 1.0),
        ([(0, 0), (10, 1), (20, 2), (40, 4)], 0.1),
        ([(0, 0), (10, 8), (20, 8), (40, 8)], None),  # a pool has filled
        ([(0, 0), (10, 1), (20, 2)], None),  # too few
        ([(0, 0)], None),
    ],
)
def test_what_is_left_per_call(
    looks: list[tuple[int, int]], expected: float | None
) -> None:
    assert rate_per_call(looks) == expected


def test_a_line_is_accused_with_counts_age_and_fix() -> None:
    now = standing(unreleased=12, dropped=4, type="io.TextIOWrapper")
    found = accuse_line(now, NAMES, owner=Owner("shop.FILES"), per_call=2.0)
    assert found.site == Site(APP, 41, "create", in_app=True)
    assert (found.source, found.pattern) == ("resource", "unclosed-connection")
    assert found.hint == (
        "9 of 90 files of this line are not released, the oldest for 5 min; 4 were "
        "dropped and never closed. Close it."
    )
    assert (found.example, found.type) == ("with open(): ...", "io.TextIOWrapper")
    assert (found.owner, found.growth_count_per_call) == (Owner("shop.FILES"), 2.0)
    moved = accuse_line(now._replace(frame=(APP, 60), type=None), NAMES)
    assert moved.fingerprint == found.fingerprint
    other = accuse_line(now._replace(kind=POOLED), NAMES)
    assert other.fingerprint != found.fingerprint


def test_what_is_lost_to_its_pool_has_no_age() -> None:
    lost = standing(replace(POOLED, collected="lost"), overdue=0, dropped=2)
    assert accuse_line(lost, NAMES).hint == (
        "2 of 90 check-outs of this line are not released; 2 were dropped and never "
        "closed. Give it back."
    )


def test_what_piles_up_in_a_resource_is_counted_in_its_own_words() -> None:
    found = accuse_line(standing(CACHED, overdue=4_321), NAMES)
    assert found.hint == "4321 entries are in this cache. Bound it."


def test_tracked_objects_are_accused_by_their_name_and_owner() -> None:
    owner = Owner("shop.BUS._listeners[…]")
    one = accuse_tracked("request", "shop.Request", 1, owner, 42.0)
    assert one.hint.startswith("'request' is still there, 42 s after it should be gone")
    assert (one.source, one.type, one.owner) == ("type", "shop.Request", owner)
    assert one.pattern == "listener"
    many = accuse_tracked("request", "shop.Request", 3, None, 42.0)
    assert many.hint.startswith("3 'request' are still there, the oldest 42 s after")
    assert many.confidence > one.confidence


def test_who_is_named_twice_is_one_suspect() -> None:
    counted = accuse_line(standing(), NAMES, owner=Owner("shop.FILES"))
    measured = replace(
        counted, source="site", pattern="other", growth_bytes_per_call=64.0, owner=None
    )
    nowhere = replace(measured, site=None)
    (first,) = with_retained([measured], [counted])
    assert (first.growth_bytes_per_call, first.pattern) == (64.0, counted.pattern)
    assert (first.source, first.owner, first.rank) == ("resource", counted.owner, 1)
    elsewhere = replace(counted, site=Site(APP, 7, "list", in_app=True))
    tracked = accuse_tracked("request", "shop.Request", 1, None, 42.0)
    found = with_retained([nowhere, measured], [elsewhere, tracked])
    assert [suspect.rank for suspect in found] == [1, 2, 3, 4]
    assert found[1:] == (
        replace(measured, rank=2),
        replace(elsewhere, rank=3),
        replace(tracked, rank=4),
    )
