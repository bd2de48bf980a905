"""Containers by name: what their lengths say, and whom that accuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leakguard._core.evidence import Bound
from leakguard._core.places import (
    Growing,
    Place,
    accuse_places,
    key_of,
    looked,
    with_evidence,
)
from leakguard._core.records import Link, Owner
from tests.core.builders import holding, suspect

ROWS = Place("shop.STORE._rows", "dict", 10, 0.0, 10, 0.0)


def _after(*lengths: int) -> Place:
    place = ROWS
    for second, length in enumerate(lengths, start=1):
        place = looked(place, length, float(second))
    return place


@pytest.mark.parametrize(
    ("lengths", "now", "grows"),
    [
        ((20, 30, 40), 3.0, True),
        ((20, 30), 2.0, False),
        ((20, 30, 25, 40, 50), 5.0, False),
        ((11, 12, 13), 3.0, False),
        ((20, 30, 40), 30.0, False),
        ((), 1.0, False),
    ],
)
def test_a_place_grows_that_only_ever_gets_longer_and_still_does(
    lengths: tuple[int, ...],
    now: float,
    grows: bool,  # noqa: FBT001
) -> None:
    assert _after(*lengths).grows(now) is grows


def _growing(
    path: str = "shop.STORE._rows", rate: float = 5.0, **changed: object
) -> Growing:
    links = (
        Link("shop", "module", "healthy", "it lives"),
        Link(path, "dict", "leaking", "holds 40 entries"),
    )
    held = replace(
        holding(path=path, length=40, new_entries=30),
        links=links,
        type="dict",
        retained_bytes=40_000,
        is_estimate=True,
        **changed,
    )
    return Growing(held, rises=3, entries_per_second=rate)


def test_a_growing_container_is_a_suspect_with_its_rate() -> None:
    (found,) = accuse_places([_growing()], set(), seconds_per_unit=0.01)
    assert (found.rank, found.source, found.site) == (1, "container", None)
    assert found.owner is not None
    assert found.owner.path == "shop.STORE._rows"
    assert found.owner.retained_bytes == 40_000
    assert found.owner.links[0].why == "it lives"
    assert found.owner.links[1].why == (
        "holds 40 entries; it gains 5 entries per second"
    )
    assert found.growth_bytes_per_second == 5_000.0
    assert found.growth_bytes_per_call == 50.0
    assert found.growth_count_per_call == 0.05
    assert found.confidence == 0.875


def test_without_units_of_work_the_rates_are_per_second_alone() -> None:
    (found,) = accuse_places([_growing()], set(), seconds_per_unit=None)
    assert found.growth_bytes_per_call is None
    assert found.growth_count_per_call is None


def test_what_is_bounded_known_or_slow_is_no_suspect() -> None:
    bounded = _growing("shop.cache", bound=Bound("maxsize", 100))
    slow = _growing("shop.slow", rate=0.01)
    known = {key_of(_growing().holding)}
    assert accuse_places([bounded, slow, _growing()], known, seconds_per_unit=1.0) == ()


def test_the_fastest_come_first_and_are_few() -> None:
    growing = [_growing(f"shop.kept{number}", rate=number) for number in range(1, 6)]
    found = accuse_places(growing, set(), seconds_per_unit=None)
    assert [(one.rank, one.owner and one.owner.path) for one in found] == [
        (1, "shop.kept5"),
        (2, "shop.kept4"),
        (3, "shop.kept3"),
    ]


def test_a_suspect_with_that_holder_gets_the_rate_as_evidence() -> None:
    link = Link("app.STORE._rows", "dict", "leaking", "holds 40 entries")
    held = suspect(owner=Owner("app.STORE._rows", (link,)))
    other = suspect(owner=Owner("app.x", (replace(link, name="app.x"),)))
    alone = suspect(owner=None)
    found = with_evidence([held, other, alone], [_growing()])
    assert found[0].owner is not None
    assert found[0].owner.links[0].why.endswith("it gains 5 entries per second")
    assert found[1:] == (other, alone)
