"""The ticks: what they read, keep and publish, and that nothing gets out of them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from leakguard._core.records import Unknown
from leakguard._core.samples import Limit, Reading, Sample
from leakguard._readers.process import Usage
from leakguard._runtime import watcher as module
from leakguard._runtime.watcher import (
    FAST_TICK_SECONDS,
    JUDGE_SECONDS,
    QUIET_TICKS,
    SLOW_TICK_SECONDS,
    TICK_SECONDS,
    Watcher,
)
from leakguard._runtime.work_counter import WorkCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard._core.trend import Trend

MIB = 1024 * 1024
LIMIT = Limit(512 * MIB, "cgroup2 /app memory.max")
PATIENCE_SECONDS = 30.0


class World:
    """A process whose limits, counters and clocks are the test's to set."""

    def __init__(self) -> None:
        self.reading = Reading(
            LIMIT,
            usage_bytes=200 * MIB,
            inactive_file_bytes=MIB,
            unreclaimable_bytes=128 * MIB,
        )
        self.usage = Usage(150 * MIB, 90 * MIB, 1_000)
        self.now = 1_000.0
        self.cpu = 0.0
        self.readers = 0
        self.error: Exception | None = None
        self.trends: list[Trend] = []

    def reader(self) -> World:
        self.readers += 1
        return self

    def read(self) -> Reading:
        if self.error is not None:
            raise self.error
        return self.reading

    def watcher(
        self,
        *,
        limit_bytes: int | None = None,
        work: WorkCounter | None = None,
        judged: Callable[[Trend, tuple[Sample, ...]], None] | None = None,
    ) -> Watcher:
        return Watcher(
            limit_bytes=limit_bytes,
            work=work,
            judged=judged or (lambda trend, _samples: self.trends.append(trend)),
            reader=self.reader,
            usage=lambda: self.usage,
            clock=lambda: self.now,
            cpu_clock=lambda: self.cpu,
        )

    def steps(self, watcher: Watcher, count: int) -> float:
        """Tick once a second; return what the last tick asked to rest."""
        pause = 0.0
        for _ in range(count):
            self.now += 1.0
            pause = watcher.step()
        return pause


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def running() -> Iterator[Watcher]:
    made = Watcher()
    yield made
    made.stop()


def wait(until: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < give_up_at, "it takes too long"
        time.sleep(0.01)


def watchers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "leakguard-watcher"]


def test_before_the_first_tick_nothing_is_known(world: World) -> None:
    state = world.watcher().state
    assert state.reading.limit == Unknown("not started")
    assert state.pressure.ratio is None
    assert state.sample is state.trend is None
    assert world.readers == 0


def test_a_tick_puts_limits_counters_and_load_into_one_row(world: World) -> None:
    work = WorkCounter()
    for _ in range(3):
        work.begin()
    work.end()
    watcher = world.watcher(work=work)
    watcher.tick()
    row = Sample(
        1_000.0,
        rss_bytes=150 * MIB,
        in_use_bytes=90 * MIB,
        python_blocks=1_000,
        cgroup_usage_bytes=200 * MIB,
        cgroup_inactive_file_bytes=MIB,
        cgroup_limit_bytes=512 * MIB,
        unreclaimable_bytes=128 * MIB,
        requests_total=1,
        in_flight=2,
    )
    assert watcher.series.samples() == (row,)
    assert watcher.state.sample == row
    assert watcher.state.pressure.ratio == 0.25
    assert watcher.state.ticks == 1


def test_without_limit_or_work_those_columns_are_unknown(world: World) -> None:
    world.reading = Reading(Unknown("unsupported: no control groups"))
    for work in (None, WorkCounter()):
        watcher = world.watcher(work=work)
        watcher.tick()
        (row,) = watcher.series.samples()
        assert row.cgroup_limit_bytes is row.requests_total is row.in_flight is None
        assert watcher.state.pressure.unreclaimable_bytes == 150 * MIB
        assert watcher.state.pressure.source == "unsupported: no control groups"


def test_a_limit_of_ones_own_counts(world: World) -> None:
    watcher = world.watcher(limit_bytes=256 * MIB)
    watcher.tick()
    assert watcher.state.pressure.ratio == 0.5


def test_it_judges_every_ten_seconds(world: World) -> None:
    watcher = world.watcher()
    world.steps(watcher, 9)
    assert world.trends == []
    assert watcher.state.trend is None
    world.steps(watcher, 21)
    assert len(world.trends) == 3
    assert watcher.state.trend is world.trends[-1]
    assert watcher.state.ticks == 30


def left_seconds(world: World, swap_free_bytes: int) -> float:
    watcher = world.watcher()
    for grown in range(0, 100 * MIB, MIB):
        world.usage = Usage(150 * MIB + grown, 90 * MIB + grown, 1_000)
        world.reading = world.reading._replace(
            unreclaimable_bytes=128 * MIB + grown,
            swap_free_bytes=swap_free_bytes,
        )
        world.steps(watcher, 1)
    watcher.judge()
    trend = watcher.state.trend
    assert trend is not None
    assert trend.forecast.time_to_limit_seconds is not None
    return trend.forecast.time_to_limit_seconds


def test_free_swap_delays_the_forecast(world: World) -> None:
    without, with_swap = left_seconds(world, 0), left_seconds(world, 256 * MIB)
    assert without == pytest.approx(512 - 128 - 99, rel=0.05)
    assert with_swap == pytest.approx(without + 256, rel=0.05)


def test_judging_takes_a_thousandth_of_the_time_at_most(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = module.judge_lately

    def slow(samples: tuple[Sample, ...], **limit: int | None) -> Trend:
        world.cpu += 0.1
        return judge(samples, **limit)

    monkeypatch.setattr(module, "judge_lately", slow)
    world.steps(world.watcher(), 400)
    assert len(world.trends) == 4


def test_a_new_limit_is_judged_soon(world: World) -> None:
    watcher = world.watcher()
    world.steps(watcher, 10)
    watcher._judge_at += 1_000
    world.steps(watcher, 30)
    assert len(world.trends) == 1
    world.reading = world.reading._replace(limit=Limit(300 * MIB, LIMIT.source))
    world.steps(watcher, 1)
    assert len(world.trends) == 2


def test_a_limit_that_changes_all_the_time_is_judged_every_ten_seconds(
    world: World,
) -> None:
    watcher = world.watcher()
    for megabytes in range(100):
        world.reading = world.reading._replace(limit=Limit(megabytes * MIB, "host"))
        world.steps(watcher, 1)
    assert len(world.trends) == 100 / JUDGE_SECONDS


def test_the_pace_follows_the_pressure(world: World) -> None:
    watcher = world.watcher()
    assert world.steps(watcher, 1) == TICK_SECONDS
    world.reading = world.reading._replace(unreclaimable_bytes=500 * MIB)
    assert world.steps(watcher, 1) == FAST_TICK_SECONDS


def test_it_slows_down_when_nothing_moves_for_long(world: World) -> None:
    watcher = world.watcher()
    assert world.steps(watcher, QUIET_TICKS) == TICK_SECONDS
    assert world.steps(watcher, 1) == SLOW_TICK_SECONDS
    world.reading = world.reading._replace(unreclaimable_bytes=130 * MIB)
    assert world.steps(watcher, 1) == TICK_SECONDS


def test_near_the_limit_it_never_slows_down(world: World) -> None:
    world.reading = world.reading._replace(unreclaimable_bytes=400 * MIB)
    assert world.steps(world.watcher(), QUIET_TICKS + 10) == TICK_SECONDS


@pytest.mark.parametrize("error", [OSError("gone"), MemoryError(), ZeroDivisionError()])
def test_what_fails_in_a_tick_is_counted_and_stays_there(
    world: World, error: Exception
) -> None:
    watcher = world.watcher()
    world.steps(watcher, 1)
    world.error = error
    assert world.steps(watcher, 3) == TICK_SECONDS
    assert watcher.state.failed_ticks == 3
    assert watcher.state.failure == type(error).__name__
    world.error = None
    world.steps(watcher, 1)
    assert watcher.state.ticks == 2
    assert watcher.state.failed_ticks == 3


def test_a_failing_callback_is_counted_too(world: World) -> None:
    def fail(*_: object) -> NoReturn:
        raise KeyError

    watcher = world.watcher(judged=fail)
    world.steps(watcher, 20)
    assert watcher.state.failed_ticks == 2
    assert watcher.state.trend is not None
    assert watcher.state.ticks == 20


def test_a_clock_that_jumps_does_no_harm(world: World) -> None:
    watcher = world.watcher()
    world.steps(watcher, 20)
    for jump in (-900.0, 1e6, -1e6):
        world.now += jump
        world.steps(watcher, 20)
    stamps = [one.t_seconds for one in watcher.series.samples()]
    assert stamps == sorted(set(stamps))
    assert watcher.state.failed_ticks == 0
    assert watcher.state.ticks == 80


def test_forgetting_all_makes_a_new_reader(world: World) -> None:
    watcher = world.watcher()
    world.steps(watcher, 20)
    watcher.reset("forked")
    assert watcher.series.samples() == ()
    assert watcher.state.trend is None
    world.steps(watcher, 1)
    assert world.readers == 2


def test_it_ticks_in_a_thread_of_its_own_until_stopped(running: Watcher) -> None:
    running.start()
    assert running.state.ticks == 1  # the caller's
    wait(lambda: running.state.ticks >= 2)
    running.start()
    assert watchers() == ["leakguard-watcher"]
    begun = time.monotonic()
    running.stop()
    running.stop()
    assert time.monotonic() - begun < 2.0
    assert watchers() == []


def test_real_ticks_read_this_process(running: Watcher) -> None:
    running.step()
    assert running.state.failure is None
    assert running.state.sample is not None
    assert (running.state.sample.rss_bytes or 0) > MIB


def test_its_own_callback_may_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()

    def judged(*_: object) -> None:
        made.stop()
        stopped.set()

    monkeypatch.setattr(module, "JUDGE_SECONDS", 0.1)
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    made = Watcher(judged=judged)
    made.start()
    assert stopped.wait(PATIENCE_SECONDS)
    wait(lambda: not watchers())


def test_without_a_thread_it_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "DaemonThread", refuse)
    watcher = world.watcher()
    watcher.start()
    assert watcher.state.failure == "RuntimeError"
    watcher.stop()


def test_memory_that_runs_out_while_noting_it_ends_no_thread(
    monkeypatch: pytest.MonkeyPatch, running: Watcher
) -> None:
    failed: list[int] = []

    def exhausted() -> NoReturn:
        failed.append(1)
        raise MemoryError

    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(running, "step", exhausted)
    running.run()
    wait(lambda: len(failed) > 3)
    running.stop()
    assert watchers() == []
