"""Who stays outside: shares by level and priority, luck that keeps, refusals."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.gate import (
    PRIORITIES,
    GateState,
    Refusal,
    decide,
    gate_state,
    luck_of,
)
from leakguard._core.policy import Policy, PolicyState
from leakguard._core.policy_table import LEVELS, Level

LUCK = st.floats(0.0, 1.0, exclude_max=True)


def at(  # noqa: PLR0913 - a state has as many parts
    level: Level,
    ratio: float | None,
    *,
    left: float | None = None,
    policy: Policy | None = None,
    floor: float = 0.1,
    average: float | None = None,
) -> GateState:
    state = PolicyState(
        level,
        ratio=ratio,
        average_ratio=ratio if average is None else average,
        floor_ratio=floor,
        time_to_limit_seconds=left,
    )
    return gate_state(policy or Policy(), state)


@pytest.mark.parametrize("level", ["ok", "elevated"])
def test_below_high_all_come_in_and_it_is_ready(level: Level) -> None:
    state = at(level, 0.84)
    assert (state.level, state.shed_shares, state.ready) == (level, {}, True)


@pytest.mark.parametrize(
    ("ratio", "share"),
    [(0.82, None), (0.85, None), (0.875, 0.25), (0.90, 0.5), (0.95, 1.0), (1.2, 1.0)],
)
def test_at_high_sheddable_work_is_shed_in_proportion(
    ratio: float, share: float | None
) -> None:
    state = at("high", ratio)
    shares = {} if share is None else {"sheddable": pytest.approx(share)}
    assert state.shed_shares == shares
    assert state.ready


def test_at_critical_only_critical_and_exempt_work_comes_in() -> None:
    state = at("critical", 0.91)
    assert state.shed_shares == {"sheddable": 1.0, "normal": 1.0}
    assert not state.ready
    for priority in PRIORITIES:
        refused = decide(state, priority, 0.999) is not None
        assert refused is (priority in ("normal", "sheddable"))


def test_a_limit_near_in_time_sheds_as_well() -> None:
    assert at("high", 0.6, left=70.0).shed_shares == {"sheddable": 0.5}
    assert at("high", 0.9, left=119.0).shed_shares == {"sheddable": pytest.approx(0.5)}
    assert at("high", 0.6, left=70.0, average=0.8).shed_shares == {}


def test_thresholds_that_are_equal_or_nowhere_divide_nothing() -> None:
    both = Policy(thresholds={"high": (0.95, 0.8, 120.0)})
    assert at("high", 0.96, policy=both).shed_shares == {"sheddable": 1.0}
    never = Policy(thresholds={"critical": (inf, 0.9, 20.0)})
    assert at("high", 0.96, policy=never).shed_shares == {}
    assert at("high", 1.5, floor=1.3).shed_shares == {}
    assert at("high", None).shed_shares == {}


@pytest.mark.parametrize("level", LEVELS)
def test_a_dry_run_keeps_it_open(level: Level) -> None:
    state = at(level, 0.99, policy=Policy(dry_run=True))
    assert (state.level, state.shed_shares, state.ready) == (level, {}, True)


def test_a_policy_may_shed_and_stay_ready() -> None:
    policy = Policy(
        actions={"critical": ("shed",), "elevated": ("shed",)},
        retry_after_seconds={"critical": (3, 3)},
        admit_one_in=5,
    )
    state = at("critical", 0.95, policy=policy)
    assert state.ready
    assert state.admit_one_in == 5
    refusal = decide(state, "normal", 0.5)
    assert refusal is not None
    assert refusal.retry_after_seconds == 3
    assert at("elevated", 0.825, policy=policy).shed_shares == {
        "sheddable": pytest.approx(0.5)
    }


def test_nobody_is_admitted_where_the_next_peak_would_go_beyond_the_limit() -> None:
    near = PolicyState(level="critical", ratio=0.9, surge_ratio=0.12, peak_ratio=1.02)
    assert gate_state(Policy(), near).admit_one_in == 0
    assert near.at == "memory is at 90 % of its limit, at its peaks 102 %"
    beyond = near._replace(ratio=1.01)
    assert gate_state(Policy(), beyond).admit_one_in == 200


@pytest.mark.parametrize(("ratio", "one_in"), [(0.95, 20), (0.975, 110), (1.2, 200)])
def test_ever_fewer_are_admitted_towards_the_limit(ratio: float, one_in: int) -> None:
    assert at("critical", ratio).admit_one_in == one_in


def test_a_refusal_says_why_and_when_to_come_again() -> None:
    assert decide(at("critical", 0.97), "normal", 0.0) == Refusal(
        "critical", "memory is at 97 % of its limit", 10, "transient"
    )


def test_what_leaks_is_not_short_for_a_while_only() -> None:
    assert at("critical", 0.97, left=30.0).durability == "permanent"
    assert at("critical", 0.91, left=30.0, average=0.97).durability == "transient"
    assert at("critical", None, left=30.0).durability == "transient"


@given(LUCK, st.sampled_from(["high", "critical"]))
def test_waits_lie_within_their_range(luck: float, level: Level) -> None:
    first, last = Policy().retry_after_seconds[level]
    refusal = decide(at(level, 0.95), "sheddable", luck)
    assert refusal is not None
    assert first <= refusal.retry_after_seconds <= last


def test_waits_are_spread_over_their_range() -> None:
    state = at("high", 0.86)  # where only the least lucky tenth is shed
    refusals = [decide(state, "sheddable", n / 5_000) for n in range(450)]
    waits = {refusal.retry_after_seconds for refusal in refusals if refusal}
    assert waits == set(range(2, 9))


@given(LUCK)
def test_who_comes_in_when_it_is_worse_comes_in_when_it_is_better(luck: float) -> None:
    ratios = [0.86, 0.89, 0.92, 0.94]
    refused = [decide(at("high", r), "sheddable", luck) is not None for r in ratios]
    assert refused == sorted(refused)


@given(st.text(), st.integers())
def test_luck_is_a_share_and_keeps(key: str, hour: int) -> None:
    assert 0.0 <= luck_of(key, hour) < 1.0
    assert luck_of(key, hour) == luck_of(key, hour)


def test_luck_is_the_same_in_every_process() -> None:
    # Whatever the seed of hash() is.
    assert luck_of("10.0.0.1", 495_000) == pytest.approx(0.053_777_673)


@pytest.mark.parametrize("form", ["10.0.{}.7", "user{}", "{}", "x" * 500 + "{}"])
def test_luck_is_spread_evenly_and_changes_with_the_hour(form: str) -> None:
    clients = [form.format(n) for n in range(2_000)]
    found = [sum(luck_of(c, h) < 0.3 for c in clients) / 2_000 for h in range(5)]
    assert all(0.26 < share < 0.34 for share in found), found
    changed = sum((luck_of(c, 7) < 0.5) != (luck_of(c, 8) < 0.5) for c in clients)
    assert 900 < changed < 1_100


def test_luck_of_text_that_is_no_text() -> None:
    assert 0.0 <= luck_of("\ud800", 1) < 1.0
