"""The gate that work comes through: whom it lets in, what it counts, how it opens."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from leakguard._core.gate import GateState, Priority, Refusal
from leakguard._runtime.gate import EXPIRES_SECONDS, Gate, Unit
from leakguard._runtime.work_counter import Work, WorkCounter

ALL = GateState("critical", {"sheddable": 1.0, "normal": 1.0}, ready=False)
HALF = GateState("high", {"sheddable": 0.5})


class World:
    def __init__(self) -> None:
        self.now, self.day, self.luck = 50.0, 1_800_000_000.0, 0.0
        self.work = WorkCounter()
        self.gate = Gate(
            self.work,
            clock=lambda: self.now,
            day_clock=lambda: self.day,
            chance=lambda: self.luck,
        )

    def admitted(
        self, times: int, priority: Priority = "normal", key: str | None = None
    ) -> int:
        return sum(self.gate.admit(priority, key) is None for _ in range(times))


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_open_at_first(world: World) -> None:
    assert world.admitted(10) == 10
    assert (world.gate.level, world.gate.ready) == ("ok", True)


def test_work_is_counted_by_the_processs_counter(world: World) -> None:
    unit = Unit(world.gate)
    with unit, unit:
        assert world.work.read() == Work(0, 2)
    with pytest.raises(ZeroDivisionError), unit:
        raise ZeroDivisionError
    world.gate.begin()
    world.gate.end()
    assert world.work.read() == Work(4, 0)


def test_at_critical_some_come_in_nevertheless(world: World) -> None:
    world.gate.publish(ALL)
    assert not world.gate.ready
    assert world.admitted(200) == 10
    assert world.admitted(200, key="one proxy for all") == 10
    assert world.admitted(200, "sheddable") == 0
    assert world.admitted(200, "critical") == 200
    assert world.admitted(200, "exempt") == 200


def test_none_is_forced_in_where_the_policy_says_so(world: World) -> None:
    world.gate.publish(GateState("critical", {"normal": 1.0}, admit_one_in=0))
    assert world.admitted(100) == 0


def test_the_unlucky_stay_outside(world: World) -> None:
    world.gate.publish(HALF)
    world.luck = 0.49
    assert isinstance(world.gate.admit("sheddable"), Refusal)
    world.luck = 0.51
    assert world.gate.admit("sheddable") is None


def test_a_client_keeps_its_luck_for_an_hour(world: World) -> None:
    world.gate.publish(HALF)
    found = {world.admitted(10, "sheddable", f"user {n}") for n in range(50)}
    assert found == {0, 10}
    before = [world.admitted(1, "sheddable", f"user {n}") for n in range(50)]
    world.day += 3_600
    assert before != [world.admitted(1, "sheddable", f"user {n}") for n in range(50)]


def test_what_is_no_priority_or_no_key_is_borne(world: World) -> None:
    odd = cast("Any", "urgent")
    assert world.gate.admit(odd, cast("Any", 7)) is None
    world.gate.publish(ALL)
    assert world.admitted(20, odd, cast("Any", b"key")) == 1
    assert world.gate.counts()[0] == {"ok/normal": 1, "critical/normal": 1}


def test_counts_are_by_level_and_priority(world: World) -> None:
    world.admitted(3)
    world.gate.publish(GateState("elevated"))
    world.admitted(2, "sheddable")
    world.gate.publish(ALL)
    world.admitted(40)
    world.admitted(5, "exempt")
    admitted, shed = world.gate.counts()
    assert admitted == {
        "ok/normal": 3,
        "elevated/sheddable": 2,
        "critical/normal": 2,
        "critical/exempt": 5,
    }
    assert shed == {"critical/normal": 38}
    world.gate.reset()
    assert world.gate.counts() == ({}, {})
    assert world.admitted(1, "sheddable") == 1


def test_it_opens_when_nobody_keeps_it_closed(world: World) -> None:
    world.gate.publish(ALL)
    world.now += EXPIRES_SECONDS - 1
    assert world.admitted(20) == 1
    world.gate.publish(ALL)
    world.now += EXPIRES_SECONDS - 1
    assert not world.gate.ready
    world.now += 2
    assert world.gate.ready
    assert world.admitted(20) == 20
    world.gate.publish(ALL)
    world.now += EXPIRES_SECONDS + 1
    assert world.admitted(20, "sheddable") == 20
    assert world.gate.level == "ok"


def test_threads_lose_no_count(world: World) -> None:
    world.gate.publish(ALL)
    threads = [threading.Thread(target=world.admitted, args=(1_000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    admitted, shed = world.gate.counts()
    assert (admitted, shed) == ({"critical/normal": 200}, {"critical/normal": 3_800})
