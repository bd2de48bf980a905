"""Whether a worker is to be replaced: what speaks against it, case by case."""

from __future__ import annotations

from typing import get_args

import pytest

from leakguard._core.policy_table import Policy
from leakguard._core.recycling import (
    OTHERS_FIRST_SECONDS,
    REST_AFTER_ALL_SECONDS,
    REST_SECONDS,
    SERVERS,
    Situation,
    Way,
    object_to,
    object_to_rate,
)

MIB = 1 << 20
POLICY = Policy(recycles_per_hour=3)
GUNICORN, GRANIAN = SERVERS["gunicorn"], SERVERS["granian"]
#: A worker that has grown, among others that have not, under lasting pressure.
GROWN = Situation(
    held_seconds=5.0,
    age_seconds=600.0,
    own_bytes=200 * MIB,
    sibling_bytes=(50 * MIB, 60 * MIB),
    least_bytes=50 * MIB,
    grown_bytes=150 * MIB,
    limit_bytes=512 * MIB,
    headroom_bytes=12 * MIB,
)


def kind(situation: Situation, server: str = "gunicorn") -> str | None:
    objection = object_to(SERVERS[server], POLICY, situation)
    return objection.kind if objection is not None else None


def test_the_one_that_has_grown_is_replaced() -> None:
    assert object_to(GUNICORN, POLICY, GROWN) is None


def test_a_worker_that_is_always_too_big_does_not_end_at_once() -> None:
    big = GROWN._replace(grown_bytes=99 * MIB)
    young = object_to(GUNICORN, POLICY, big._replace(age_seconds=59.0))
    assert young == ("young", "it is 59 s old, and lives for 1 min at least")
    assert kind(big._replace(age_seconds=60.0)) is None
    brief = Policy(least_life_seconds=0.0)
    assert object_to(GUNICORN, brief, big._replace(age_seconds=0.0)) is None
    for unknown in ({"grown_bytes": None}, {"own_bytes": None}):
        assert kind(big._replace(age_seconds=0.0, **unknown)) == "young"


def test_one_that_has_mostly_grown_may_go_early() -> None:
    assert kind(GROWN._replace(age_seconds=1.0, grown_bytes=100 * MIB)) is None


def test_what_cannot_be_read_is_not_guessed() -> None:
    assert kind(GROWN._replace(own_bytes=None)) == "unknown"
    assert kind(GROWN._replace(sibling_bytes=())) is None
    assert kind(GROWN._replace(grown_bytes=None, limit_bytes=None)) is None


def test_a_worker_that_uses_less_than_its_share_is_not_the_one() -> None:
    small = GROWN._replace(sibling_bytes=(250 * MIB,))
    assert object_to(GUNICORN, POLICY, small) == (
        "other",
        "not this worker: it uses 200 MiB, its share is 225 MiB",
    )


def test_a_sibling_that_never_goes_is_not_waited_for_for_ever() -> None:
    small = GROWN._replace(sibling_bytes=(250 * MIB,))
    assert kind(small._replace(held_seconds=OTHERS_FIRST_SECONDS)) is None


def test_under_a_limit_of_its_own_it_is_the_one() -> None:
    small = GROWN._replace(sibling_bytes=(900 * MIB,), limit_bytes=210 * MIB)
    assert kind(small) is None


def test_a_worker_that_has_not_grown_would_give_nothing_back() -> None:
    still = GROWN._replace(grown_bytes=19 * MIB)
    assert object_to(GUNICORN, POLICY, still) == (
        "other",
        "not this worker: it has grown by 19 MiB, and uses 200 MiB",
    )
    assert kind(still._replace(held_seconds=1e6)) == "other"
    assert kind(still._replace(grown_bytes=20 * MIB)) is None


def test_two_workers_at_a_time_need_memory_for_both() -> None:
    tight = object_to(GRANIAN, POLICY, GROWN)
    assert tight is not None
    assert tight.kind == "headroom"
    assert tight.reason.endswith("it needs about 50 MiB, and 12 MiB is left")
    assert kind(GROWN._replace(headroom_bytes=50 * MIB), "granian") is None
    assert kind(GROWN, "granian-respawn") is None


@pytest.mark.parametrize("field", ["headroom_bytes", "least_bytes"])
def test_room_that_is_not_known_is_none(field: str) -> None:
    roomy = GROWN._replace(headroom_bytes=512 * MIB)
    assert kind(roomy, "granian") is None
    assert kind(roomy._replace(**{field: None}), "granian") == "headroom"


def test_no_more_than_so_many_an_hour_are_replaced() -> None:
    assert object_to_rate(GUNICORN, POLICY, ()) is None
    assert object_to_rate(GUNICORN, POLICY, (100.0, 200.0, 3600.0)) is None
    often = object_to_rate(GUNICORN, POLICY, (100.0, 200.0, 3599.0))
    assert often == ("rate", "there were 3 within an hour already")


def test_the_next_one_waits_for_the_new_one_to_be_there() -> None:
    for server, rest in ((GUNICORN, REST_SECONDS), (GRANIAN, REST_AFTER_ALL_SECONDS)):
        objection = object_to_rate(server, POLICY, (rest - 0.1, 1_000.0))
        assert objection is not None
        assert objection.kind == "soon"
        assert object_to_rate(server, POLICY, (rest, 1_000.0)) is None


def test_every_way_is_a_servers_and_none_but_all_starts_first() -> None:
    rows = SERVERS.values()
    assert {row.way for row in rows} == set(get_args(Way))
    assert [row.way for row in rows if row.starts_first] == ["reload all"]
