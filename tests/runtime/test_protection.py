"""What is done about pressure: the gate, the reliefs, the log, tick by tick."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from leakguard._core.forecast import Forecast
from leakguard._core.policy import Action, Policy
from leakguard._core.pressure import Pressure
from leakguard._core.recycling import NOTHING_LEFT, Legacy
from leakguard._core.samples import Limit, Reading, Sample
from leakguard._core.surge import Step
from leakguard._core.trend import judge_history
from leakguard._runtime.gate import EXPIRES_SECONDS, Gate
from leakguard._runtime.protection import (
    LOOKS_ON_THE_WAY,
    RECHECK_SECONDS,
    TICK_SECONDS,
    Protection,
)
from leakguard._runtime.recycling import Account, Recycler
from leakguard._runtime.relief import Reliefs
from leakguard._runtime.watcher import State
from leakguard._runtime.work_counter import WorkCounter

if TYPE_CHECKING:
    from leakguard._core.trend import Trend

LIMIT_BYTES = 1_000_000
SOURCE = "cgroup2 /app memory.max"
TELLS, AT = "memory pressure goes from", "memory is at"
UP, DOWN = f" at 85 % ({SOURCE})", f" ends at 80 % ({SOURCE})"


class Noted(Reliefs):
    """Reliefs that are only noted."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.watched = 0

    def ask(self, action: Action) -> None:
        self.asked.append(action.kind)

    def watch(self) -> None:
        self.watched += 1


class Asking(Recycler):
    """Asks nobody, and says that it has, when the level has lasted."""

    def __init__(self, policy: Policy | None) -> None:
        super().__init__(policy or Policy())
        self.considered: list[tuple[float, float | None]] = []
        self.left: list[Legacy] = []
        self.heritage = Legacy()

    def inherited(self) -> Legacy:
        return self.heritage

    def consider(
        self, action: Action, seen: State, legacy: Legacy = NOTHING_LEFT
    ) -> None:
        self.considered.append((action.held_seconds, seen.pressure.ratio))
        self.left.append(legacy)
        if action.held_seconds:
            self.account = Account(1, action.reason)


class World:
    def __init__(self, policy: Policy | None = None) -> None:
        self.now = 100.0
        self.limit_bytes = LIMIT_BYTES
        self.investigations = 0
        self.peak_bytes: int | None = 1
        self.source = SOURCE
        self.gate = Gate(WorkCounter(), clock=lambda: self.now)
        self.reliefs = Noted()
        self.recycler = Asking(policy)
        self.protection = Protection(
            policy,
            self.gate,
            reliefs=self.reliefs,
            recycler=self.recycler,
            investigate=self.investigate,
            peak=lambda: self.peak_bytes,
            clock=lambda: self.now,
        )
        self.tick(0.3)

    def investigate(self) -> None:
        self.investigations += 1

    def state(self, ratio: float | None) -> State:
        used = None if ratio is None else round(ratio * self.limit_bytes)
        return State(
            Reading(Limit(self.limit_bytes, self.source)),
            Pressure(ratio, used, self.limit_bytes, self.source),
            Sample(self.now, rss_bytes=1),
        )

    def tick(self, *ratios: float | None) -> float:
        pause = 0.0
        for ratio in ratios:
            self.now += 1.0
            pause = self.protection.ticked(self.state(ratio))
        return pause

    def judge(self, seconds: float | None) -> None:
        self.protection.judged(trend(seconds), self.state(0.5))


def trend(seconds: float | None) -> Trend:
    found = Forecast(seconds, None, LIMIT_BYTES, "a test")
    return replace(judge_history(()), forecast=found)


@pytest.fixture
def world() -> World:
    return World()


def test_while_all_is_well_nothing_happens(world: World) -> None:
    assert world.tick(*[0.3] * 50) == TICK_SECONDS["ok"]
    assert world.protection.level == world.gate.level == "ok"
    counters = world.protection.counters(3)
    assert counters.transitions == counters.actions == {}
    assert counters.failed_ticks == 3
    assert world.reliefs.watched == 51


def test_a_level_that_waits_for_a_second_look_gets_it_soon(world: World) -> None:
    assert world.tick(0.97) == RECHECK_SECONDS
    assert world.tick(0.97) == TICK_SECONDS["critical"]


def test_fast_growth_is_looked_at_often(world: World) -> None:
    assert world.tick(0.5) == pytest.approx(0.5 / 0.2 / LOOKS_ON_THE_WAY)
    assert world.tick(0.69, 0.69, 1.0, 1.1) == RECHECK_SECONDS


def test_elevated_looks_for_lines_and_sheds_nothing(world: World) -> None:
    assert world.tick(0.75, 0.75) == TICK_SECONDS["elevated"]
    assert world.investigations == 1
    assert world.reliefs.asked == ["callbacks"]
    assert world.gate.level == "elevated"
    assert world.gate.ready
    assert world.gate.admit("sheddable") is None


def test_high_relieves_and_sheds_in_proportion(world: World) -> None:
    world.tick(0.9, 0.9)
    assert world.reliefs.asked == ["collect", "callbacks", "trim"]
    assert world.investigations == 0
    assert world.gate.state.shed_shares == {"sheddable": pytest.approx(0.5)}
    world.tick(0.93)
    assert world.gate.state.shed_shares == {"sheddable": pytest.approx(0.8)}


def test_critical_closes_and_calm_opens_the_gate(world: World) -> None:
    world.tick(0.97, 0.97)
    assert not world.gate.ready
    assert world.gate.admit("critical") is None
    world.tick(*[0.2] * 20)
    assert world.gate.ready
    assert world.gate.level == "ok"
    assert world.gate.admit("sheddable") is None
    counters = world.protection.counters(0)
    assert counters.transitions == {"critical": 1, "high": 1, "elevated": 1, "ok": 1}
    done = ("collect", "callbacks", "trim", "record", "recycle")
    assert counters.actions == dict.fromkeys(done, 1)
    assert counters.admitted == {"critical/critical": 1, "ok/sheddable": 1}
    assert [t.level for t in counters.last_transitions] == list(counters.transitions)


def test_a_closed_gate_does_not_expire_while_ticks_come(world: World) -> None:
    world.tick(*[0.97] * (int(EXPIRES_SECONDS) * 3))
    assert not world.gate.ready
    assert world.gate.admit("sheddable") is not None


def test_a_worker_is_to_be_replaced_while_critical_lasts(world: World) -> None:
    world.tick(*[0.9] * 30)
    assert world.recycler.considered == []
    world.tick(*[0.97] * 9)
    assert world.recycler.considered == [(0.0, 0.97), (3.0, 0.97), (6.0, 0.97)]
    counters = world.protection.counters(0)
    assert counters.actions["recycle"] == 3
    assert counters.recycles_asked == 1
    reason = "memory is at 97 % of its limit, at its peaks 104 %"
    assert counters.last_recycle_reason == reason


def test_what_is_to_be_replaced_is_not_ready_and_sheds_no_more(world: World) -> None:
    world.tick(*[0.97] * 9)
    before = world.gate.state
    world.tick(*[0.3] * 30)
    assert world.gate.level == "ok"
    assert not world.gate.ready
    assert world.gate.admit("sheddable") is None
    assert before.shed_shares == {"sheddable": 1.0, "normal": 1.0}
    world.protection.reset()  # as in a forked child
    world.tick(0.3)
    assert world.gate.ready
    assert world.protection.counters(0).recycles_asked == 0


def test_each_transition_is_logged_once_with_its_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "leakguard"):
        world.tick(*[0.9] * 16, *[0.2] * 9)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"{TELLS} ok to high: {AT} 90 % of its limit, and high begins{UP}"),
        ("INFO", f"{TELLS} high to elevated: {AT} 20 % of its limit, and high{DOWN}"),
    ]


def test_room_is_kept_for_what_is_needed_for_moments(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.tick(*[0.5] * 16, 0.7, 0.5, 0.7, 0.5)
    assert world.protection.level == "elevated"
    world.tick(*[0.77] * 18)
    assert world.protection.level == "critical"
    assert re.search(f"{AT} 77 % of its limit, at its peaks 97 %, and", caplog.text)
    world.limit_bytes *= 2
    world.source = "another limit"
    world.tick(*[0.38] * 30)
    assert world.protection.level == "ok"
    said = "the memory limit that counts is now another limit; it was"
    assert caplog.text.count(said) == 1


def test_what_its_own_process_needed_between_two_looks_is_seen(world: World) -> None:
    world.tick(*[0.5] * 16)
    assert world.protection.level == "ok"
    world.peak_bytes = 1 + LIMIT_BYTES // 8
    world.tick(0.5, 0.5)
    assert world.protection.level == "elevated"
    world.tick(*[0.5] * 30)
    assert world.protection.level == "elevated"
    world.protection.reset()
    world.peak_bytes = None
    world.tick(*[0.5] * 30)
    assert world.protection.level == "ok"


def test_a_worker_begins_with_what_the_one_before_it_knew(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.protection.reset()
    known = Legacy(0.2 * LIMIT_BYTES, 0.3 * LIMIT_BYTES, world.now)
    world.recycler.heritage = known
    world.tick(*[0.97] * 3)
    assert world.protection.level == "critical"
    assert "from the start" not in caplog.text
    left = world.recycler.left[-1]
    assert left.surge_bytes == pytest.approx(known.surge_bytes, rel=0.1)
    assert left.floor_bytes == pytest.approx(known.floor_bytes)


def test_a_worker_expects_the_steps_that_the_one_before_it_saw(world: World) -> None:
    world.protection.reset()
    step = Step(world.now - 10, 0, LIMIT_BYTES // 8)
    world.recycler.heritage = Legacy(0.0, 0.3 * LIMIT_BYTES, world.now, step)
    world.tick(*[0.3] * 3, *[0.83] * 8)
    assert world.protection.level == "critical"
    assert world.recycler.left[-1].step == step


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "critical"),
        ({"unreclaimable_bytes": 1}, "high"),  # another group's use is what counts
        ({"peak_usage_bytes": None}, "high"),
        ({"peak_usage_bytes": LIMIT_BYTES // 2}, "high"),  # no more than before
    ],
)
def test_a_siblings_burst_between_two_looks_is_expected_again(
    world: World, changes: dict[str, int | None], level: str
) -> None:
    pages = LIMIT_BYTES // 10  # of files, in the group's usage

    def tick(ratio: float, **group: int | None) -> None:
        world.now += 2.0  # too far apart for steps
        seen = world.state(ratio)
        used = seen.pressure.unreclaimable_bytes or 0
        group = {
            "usage_bytes": used + pages,
            "unreclaimable_bytes": used,
            "peak_usage_bytes": LIMIT_BYTES // 2,
            **group,
        }
        world.protection.ticked(seen._replace(reading=seen.reading._replace(**group)))

    tick(0.3)
    tick(0.4, **{"peak_usage_bytes": pages + round(LIMIT_BYTES * 0.6), **changes})
    for _ in range(4):
        tick(0.9)
    assert world.protection.level == level


def test_a_process_that_lives_by_its_peaks_is_not_refused_work(world: World) -> None:
    world.protection.reset()
    world.tick(*[0.6, 0.6, 0.97] * 40)
    assert world.gate.admit("normal") is None


def test_a_dry_run_tells_and_leaves_the_gate_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(Policy(dry_run=True))
    world.tick(*[0.99] * 30)
    assert world.protection.level == "critical"
    assert world.gate.ready
    assert world.gate.admit("sheddable") is None
    assert world.reliefs.asked == []
    assert world.recycler.considered == []
    assert caplog.records[0].getMessage().endswith("; nothing is done: a dry run")
    assert len(caplog.records) == 1


def test_what_was_there_at_the_start_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.protection.reset()
    world.tick(*[0.97] * 200)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "from the start" in caplog.text
    assert world.gate.ready
    assert world.protection.counters(0).actions == {"warn": 1}


def test_a_forecast_brings_the_level_and_grows_older(world: World) -> None:
    world.judge(130.0)
    world.tick(*[0.6] * 10)
    assert world.protection.level == "elevated"
    world.tick(0.6, 0.6)
    assert world.protection.level == "high"
    world.judge(None)
    world.tick(*[0.6] * 20)
    assert world.protection.level == "ok"


def test_a_forecast_for_another_limit_does_not_count(world: World) -> None:
    world.judge(5.0)
    world.limit_bytes *= 2
    world.tick(*[0.6] * 10)
    assert world.protection.level == "ok"


def test_a_look_without_a_time_of_its_own_has_the_clocks(world: World) -> None:
    nothing = State(Reading(Limit(1, SOURCE)), Pressure(None, None, None, SOURCE))
    world.protection.judged(trend(5.0), nothing)
    assert world.protection.ticked(nothing) == TICK_SECONDS["ok"]


def test_stopped_it_leaves_the_gate_open(world: World) -> None:
    world.tick(*[0.97] * 5)
    world.protection.stop()
    assert world.gate.ready
    assert world.gate.level == world.protection.level == "ok"
    assert world.protection.counters(0).transitions == {"critical": 1}


def test_a_child_begins_with_an_open_gate_and_no_counts(world: World) -> None:
    world.tick(*[0.97] * 5)
    world.gate.admit("sheddable")
    world.protection.reset()
    assert world.gate.ready
    counters = world.protection.counters(0)
    assert counters.transitions == counters.shed == {}
    assert counters.last_transitions == ()
