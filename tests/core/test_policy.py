"""Levels that come and go with the pressure, and what is done at each."""

from __future__ import annotations

from collections import Counter
from dataclasses import FrozenInstanceError, replace
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakguard._core.policy import (
    Action,
    Observation,
    Policy,
    PolicyState,
    Transition,
    seconds_to_full,
    step,
)
from leakguard._core.policy_table import LEVELS, rank
from leakguard._core.records import LeakguardError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from leakguard._core.policy_table import Level

CALM = 0.3
RATIOS = st.none() | st.floats(0.0, 2.0)
LEFT = st.none() | st.floats(0.0, 2_000.0)


class Life:
    """A process that is looked at once a second, calm before it is anything else."""

    def __init__(self, policy: Policy | None = None, *, first: float = CALM) -> None:
        self.policy = policy or Policy()
        self.state = PolicyState()
        self.now = 1_000.0
        self.events: list[Transition | Action] = []
        self.see(first)

    def see(
        self, *ratios: float | None, left: float | None = None, every: float = 1.0
    ) -> Level:
        for ratio in ratios:
            self.now += every
            look = Observation(self.now, ratio, left)
            self.state, events = step(self.policy, self.state, look)
            self.events += events
        return self.state.level

    @property
    def transitions(self) -> list[Transition]:
        return [event for event in self.events if isinstance(event, Transition)]

    @property
    def actions(self) -> list[Action]:
        return [event for event in self.events if isinstance(event, Action)]

    def done(self) -> dict[str, int]:
        return dict(Counter(action.kind for action in self.actions))


@pytest.mark.parametrize(
    ("ratio", "level"),
    [
        (0.69, "ok"),
        (0.70, "elevated"),
        (0.84, "elevated"),
        (0.85, "high"),
        (0.94, "high"),
        (0.95, "critical"),
        (7.0, "critical"),
    ],
)
def test_a_level_begins_at_its_ratio_at_the_second_look(
    ratio: float, level: str
) -> None:
    life = Life()
    assert life.see(ratio) == "ok"
    assert life.state.is_unconfirmed is (level != "ok")
    assert life.see(ratio) == level
    assert not life.state.is_unconfirmed
    assert [t.level for t in life.transitions] == ([level] if level != "ok" else [])


def test_one_look_alone_changes_and_does_nothing() -> None:
    life = Life()
    life.see(0.99, CALM, 0.99, CALM)
    assert life.events == []


def test_the_first_look_of_a_worker_that_has_inherited_a_floor_counts_alone() -> None:
    successor = PolicyState(floor_ratio=CALM)
    state, events = step(Policy(), successor, Observation(9.0, 0.96))
    assert state.level == "critical"
    assert not state.is_unconfirmed
    assert isinstance(events[0], Transition)


def test_two_looks_ask_for_no_more_than_the_lower_of_them() -> None:
    assert Life().see(0.99, 0.86) == "high"


def test_a_level_ends_below_its_ratio_and_only_after_the_dwell() -> None:
    life = Life()
    life.see(0.9, 0.9)
    assert life.see(*[0.81] * 100) == "high"
    assert life.see(*[0.79] * 5) == "high"
    assert life.see(0.79) == "elevated"
    assert life.transitions[-1].reason == (
        "memory is at 79 % of its limit, and high ends at 80 %"
    )


def test_one_look_above_begins_the_dwell_anew() -> None:
    life = Life()
    life.see(0.9, 0.9)
    assert life.see(*[0.5, 0.5, 0.5, 0.5, 0.81] * 20) == "high"


def test_from_critical_it_goes_down_level_by_level() -> None:
    life = Life()
    life.see(0.97, 0.97, *[CALM] * 16)
    assert [t.level for t in life.transitions] == ["critical", "high", "elevated", "ok"]
    assert [t.before for t in life.transitions] == [
        *("ok", "critical", "high", "elevated")
    ]


def test_a_transition_says_why() -> None:
    life = Life()
    life.see(0.86, 0.862)
    assert life.transitions == [
        Transition(
            life.now,
            "ok",
            "high",
            "memory is at 86.2 % of its limit, and high begins at 85 %",
        )
    ]


@pytest.mark.parametrize("unknown", [None, nan, -0.1])
def test_where_nothing_is_known_nothing_is_done(unknown: float | None) -> None:
    life = Life(first=CALM)
    assert life.see(unknown, unknown, left=1.0) == "ok"
    life.see(0.9, 0.9)
    assert life.see(*[unknown] * 4) == "high"  # a failed read or two
    assert life.see(*[unknown] * 20) == "ok"
    assert "not known" in life.transitions[-1].reason


@pytest.mark.parametrize(
    ("left", "level"),
    [(600.0, "ok"), (599.0, "elevated"), (119.0, "high"), (19.0, "critical")],
)
def test_a_limit_near_in_time_brings_the_level_early(left: float, level: str) -> None:
    life = Life()
    assert life.see(0.6, 0.6, left=left) == level
    if level == "critical":
        assert life.transitions[0].reason == (
            "memory is at 60 % of its limit, and reaches it in 19 s at this rate"
        )


def test_far_from_the_limit_a_forecast_does_no_more_than_elevate() -> None:
    life = Life()
    assert life.see(*[0.4] * 20, left=1.0) == "elevated"


def test_a_forecast_does_not_count_while_the_pressure_falls() -> None:
    life = Life()
    life.see(*[0.69] * 60)
    assert life.see(*[0.6] * 3, left=1.0) == "ok"


def test_a_forecast_that_flickers_about_its_bound_keeps_the_level() -> None:
    life = Life()
    life.see(0.6, 0.6, left=590.0)
    assert life.see(*[0.6] * 30, left=890.0) == "elevated"
    assert life.see(*[0.6] * 30, left=910.0) == "ok"


def test_each_level_has_its_actions_and_repeats_them_after_a_rest() -> None:
    life = Life()
    life.see(0.75, 0.75)
    assert life.done() == {"investigate": 1, "callbacks": 1}
    assert {action.held_seconds for action in life.actions} == {0.0}
    life.see(*[0.75] * 5)
    assert life.done() == {"investigate": 1, "callbacks": 2}
    assert life.actions[-1] == Action(
        "callbacks", "elevated", 5.0, "memory is at 75 % of its limit"
    )
    life.see(*[0.75] * 55)
    assert life.done() == {"investigate": 2, "callbacks": 13}


def test_no_way_up_waits_for_the_rest_of_what_was_done_before() -> None:
    life = Life(Policy(cool_down_seconds={"callbacks": 1e9}))
    life.see(0.75, 0.75, 0.9, 0.9, 0.97, 0.97)
    assert life.done()["callbacks"] == 3
    life.see(*[0.9] * 60)
    assert life.done()["callbacks"] == 3


def test_what_helped_is_done_again_when_the_pressure_comes_back() -> None:
    life = Life()
    life.see(0.9, 0.9, 0.1, 0.5, 0.9)
    assert [t.level for t in life.transitions] == ["high"]
    assert life.done()["callbacks"] == 2
    life.see(0.7, every=0.1)
    life.see(0.9, every=0.1)  # a flutter
    assert life.done()["callbacks"] == 2


def test_the_time_to_the_limit_is_told_from_two_looks() -> None:
    life = Life()
    before = life.state
    life.see(0.4)
    assert seconds_to_full(before, life.state) == pytest.approx(6.0)
    assert seconds_to_full(life.state, life.state) == inf
    assert seconds_to_full(life.state, before) == inf
    assert seconds_to_full(PolicyState(), life.state) == inf
    before = life.state
    life.see(0.3)
    assert seconds_to_full(before, life.state) == inf
    life.see(1.2)
    assert seconds_to_full(before, life.state) == 0.0


def test_while_work_is_shed_collections_are_made_though_the_pressure_falls() -> None:
    life = Life(Policy(dwell_seconds=1e9))
    life.see(*[0.94] * 60)
    life.events.clear()
    life.see(*[0.94 - 0.002 * n for n in range(60)])
    assert life.state.is_falling
    assert life.done()["collect"] == 12
    assert life.done()["callbacks"] <= 2


def test_nothing_is_done_for_a_level_that_this_look_does_not_ask_for() -> None:
    life = Life(Policy(cool_down_seconds={"collect": 0.0}))
    life.see(0.9, 0.9)
    before = life.done()
    life.see(0.5, 0.5)
    assert life.state.level == "high"
    assert life.done() == before


def test_what_was_there_at_the_start_is_told_once_and_not_acted_upon() -> None:
    life = Life(first=0.97)
    life.see(*[0.97, 0.975] * 500)
    assert life.transitions == []
    (warning,) = life.actions
    assert warning.kind == "warn"
    assert "at 97 % of its limit from the start" in warning.reason


def test_what_comes_on_top_of_it_is() -> None:
    life = Life(first=0.97)
    assert life.see(0.986, 0.986) == "critical"
    assert life.see(*[0.976] * 6) == "high"


def test_once_it_has_gone_down_the_usual_levels_hold() -> None:
    life = Life(first=0.97)
    life.see(0.5)
    assert life.see(0.95, 0.95) == "critical"
    assert life.done()["warn"] == 1


def test_where_the_limit_lies_below_the_start_nothing_ever_is() -> None:
    life = Life(first=1.2)
    assert life.see(*[1.3, 5.0] * 50, left=0.0) == "ok"
    assert life.done() == {"warn": 1}


def test_a_first_look_that_tells_nothing_is_no_start() -> None:
    life = Life(first=nan)
    life.see(None, 0.8, 0.8)
    assert life.done() == {"warn": 1}


def test_a_limit_lowered_live_acts_at_once_and_raised_lets_go() -> None:
    life = Life(first=0.5)
    assert life.see(1.4, 1.4, every=0.05) == "critical"
    assert life.see(*[0.4] * 16) == "ok"


@pytest.mark.parametrize("jump", [-1e9, 0.0, nan])
def test_a_clock_that_does_not_go_forward_ends_no_level(jump: float) -> None:
    life = Life()
    life.see(0.9, 0.9)
    life.see(*[0.2] * 50, every=jump)
    assert life.state.level == "high"


def test_a_suspend_counts_for_some_seconds_only() -> None:
    life = Life()
    life.see(0.9, 0.9, 0.2)
    assert life.see(0.2, every=1e6) == "elevated"
    assert life.see(0.2) == "elevated"


def test_a_dry_run_tells_and_does_nothing() -> None:
    life = Life(Policy(dry_run=True), first=0.8)
    life.see(CALM, *[0.97] * 100)
    assert [t.level for t in life.transitions] == ["critical"]
    assert life.actions == []


def test_a_policy_names_what_differs() -> None:
    policy = Policy(
        thresholds={"high": (0.8, 0.6, 60)},
        actions={"critical": ("callbacks",), "elevated": ()},
        cool_down_seconds={"callbacks": 1.0},
        dwell_seconds=2.0,
    )
    life = Life(policy)
    assert life.see(0.8, 0.8) == "high"
    assert life.see(*[0.61] * 20) == "high"
    assert life.see(*[0.59] * 3) == "elevated"
    life.events.clear()
    life.see(0.75, 0.96, 0.96, 0.96)
    assert life.done() == {"callbacks": 2}
    again = replace(policy, dry_run=True)
    assert again.thresholds == policy.thresholds
    assert (again.dry_run, policy.dry_run) == (True, False)
    assert Policy() == Policy(dwell_seconds=5.0)


def test_a_level_may_be_left_out() -> None:
    policy = Policy(thresholds={"critical": (inf, 0.9, 20.0)})
    assert Life(policy).see(*[3.0] * 9, left=0.0) == "high"


def test_a_policy_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Policy().dry_run = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"thresholds": {"hot": (0.9, 0.8, 1)}}, "for elevated, high, critical, not"),
        ({"thresholds": {"high": (0.8, 0.8, 1)}}, r"thresholds\['high'\] .* lower one"),
        ({"thresholds": {"high": (0.8, 0.0, 1)}}, "lower one to leave"),
        ({"thresholds": {"high": (nan, 0.7, 1)}}, "lower one to leave"),
        ({"thresholds": {"high": (0.8, 0.7, -1)}}, "lower one to leave"),
        ({"thresholds": {"high": (0.8, 0.7)}}, "lower one to leave"),
        ({"thresholds": {"high": 0.8}}, "lower one to leave"),
        ({"thresholds": {"high": (0.6, 0.5, 1)}}, "rise from level to level"),
        ({"actions": {"high": ("sleep",)}}, "some of investigate, callbacks"),
        ({"actions": {"high": ("warn",)}}, "some of investigate"),
        ({"actions": {"high": "shed"}}, "some of investigate"),
        ({"actions": {"high": ([],)}}, "some of investigate"),
        ({"cool_down_seconds": {"collect": -1}}, "is seconds, not -1"),
        ({"cool_down_seconds": {"shed": 1}}, "not for 'shed'"),
        ({"retry_after_seconds": {"high": (5, 2)}}, "fewest and the most"),
        ({"retry_after_seconds": {"high": (-1, 2)}}, "fewest and the most"),
        ({"actions": None}, "actions of a policy is a mapping, not None"),
        ({"dwell_seconds": nan}, "dwell_seconds of a policy is seconds"),
        ({"forecast_from_ratio": None}, "is a ratio, not None"),
        ({"admit_one_in": -1}, "a whole number from 0"),
        ({"admit_one_in": 0.5}, "a whole number from 0"),
        ({"least_life_seconds": -1.0}, "least_life_seconds of a policy is seconds"),
        ({"recycles_per_hour": 0}, "a whole number from 1"),
    ],
)
def test_a_value_without_sense_is_refused(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(LeakguardError, match=sentence):
        Policy(**options)


def live(
    ratios: Iterable[float | None],
    lefts: Sequence[float | None] = (),
    policy: Policy | None = None,
    every: float = 1.0,
) -> Life:
    life = Life(policy)
    for number, ratio in enumerate(ratios):
        left = lefts[number % len(lefts)] if lefts else None
        life.see(ratio, left=left, every=every)
    return life


@given(st.lists(RATIOS, max_size=80), st.lists(LEFT), st.sampled_from([0.25, 1.0, 4.0]))
@settings(max_examples=200, deadline=None)
def test_it_never_turns_faster_than_the_dwell(
    ratios: list[float | None], lefts: list[float | None], every: float
) -> None:
    life = live(ratios, lefts, every=every)
    for one, other in zip(life.transitions, life.transitions[1:], strict=False):
        assert one.level == other.before
        if rank(other.level) < rank(other.before):
            assert other.at_seconds - one.at_seconds >= life.policy.dwell_seconds
            assert rank(other.before) - rank(other.level) == 1


@given(st.lists(st.floats(0.0, 2.0), max_size=80))
@settings(max_examples=200, deadline=None)
def test_pressure_that_only_rises_brings_levels_that_only_rise(
    ratios: list[float],
) -> None:
    rising = live(sorted(ratios))
    found = [rank(t.level) for t in rising.transitions]
    assert found == sorted(found)
    falling = live(sorted((0.99, 0.99, *ratios), reverse=True))
    found = [rank(t.level) for t in falling.transitions[1:]]
    assert found == sorted(found, reverse=True)


@given(st.lists(RATIOS, max_size=40), st.lists(LEFT))
@settings(max_examples=200, deadline=None)
def test_after_a_long_calm_all_is_well_again(
    ratios: list[float | None], lefts: list[float | None]
) -> None:
    life = live(ratios, lefts)
    most = (len(LEVELS) - 1) * life.policy.dwell_seconds
    assert life.see(*[0.64] * (int(most) + 2)) == "ok"


@given(st.lists(RATIOS, max_size=80), st.lists(LEFT))
@settings(max_examples=100, deadline=None)
def test_a_dry_run_never_acts(
    ratios: list[float | None], lefts: list[float | None]
) -> None:
    dry = live(ratios, lefts, Policy(dry_run=True))
    assert dry.actions == []
    assert dry.transitions == live(ratios, lefts).transitions


@given(st.lists(RATIOS, max_size=80), st.lists(LEFT))
@settings(max_examples=100, deadline=None)
def test_no_action_comes_again_before_its_rest_is_over_but_as_pressure_comes_back(
    ratios: list[float | None], lefts: list[float | None]
) -> None:
    life = Life()
    last: dict[str, float] = {}
    for number, ratio in enumerate(ratios):
        life.events.clear()
        was_calm = life.state.calm_since_seconds is not None
        life.see(ratio, left=lefts[number % len(lefts)] if lefts else None)
        if was_calm and life.state.calm_since_seconds is None:
            last.clear()
        if any(rank(t.level) > rank(t.before) for t in life.transitions):
            last.clear()
        for action in life.actions:
            rest = life.policy.cool_down_seconds[action.kind]
            assert life.now - last.get(action.kind, -inf) >= rest
            last[action.kind] = life.now
