"""Investigations: when they run, what they cost, what they find and keep."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from array import array
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

from leakguard._core.records import LeakguardError
from leakguard._core.traces import Traces
from leakguard._runtime import investigation as module
from leakguard._runtime.investigation import Investigation
from leakguard._runtime.window import WindowRefused
from leakguard._runtime.work_counter import WorkCounter
from tests.core.builders import APP, deep_look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from leakguard._core.evidence import DeepLook
    from leakguard._core.records import Frame
    from leakguard._runtime.thread import DaemonThread

LEAK = (APP, 41)
PATIENCE_SECONDS = 60.0
KEPT: list[object] = []


class World:
    """A program that serves requests in simulated time, traced or not.

    Each request takes ``unit_seconds`` of processor time, ``slow_down`` times as much
    while it is traced, and leaves a KiB behind if it ``leaks``.
    """

    def __init__(self) -> None:
        self.now = self.cpu = self.waiting_share = 0.0
        self.work = WorkCounter()
        self.per_second, self.unit_seconds, self.slow_down = 100, 0.002, 4.0
        self.pause_seconds = 0.001
        self.leaks, self.traced, self.stopping = True, False, False
        self.sites: dict[Frame, tuple[int, int]] = {}
        self.lengths: list[float] = []
        self.opened: list[float] = []
        self.refused: Exception | None = None
        self._owed = 0.0
        self.longest_pause_seconds = 0.0

    def wait(self, seconds: float) -> bool:
        """Let the program run so long: what a thread's sleep is to the others."""
        self.now += seconds
        self._owed += seconds * self.per_second
        units, self._owed = int(self._owed), self._owed % 1
        for _ in range(units):
            self.work.begin()
            self.work.end()
        self.cpu += units * self.unit_seconds * (self.slow_down if self.traced else 1)
        if self.traced and self.leaks:
            size, blocks = self.sites.get(LEAK, (300, 1))
            self.sites[LEAK] = (size + 1024 * units, blocks + units)
        return self.stopping

    @contextmanager
    def window(self, *_: object, **__: object) -> Iterator[World]:
        if self.refused is not None:
            raise self.refused
        opened, self.traced, self.sites = self.now, True, {}
        try:
            yield self
        finally:
            self.traced = False
            self.longest_pause_seconds = self.pause_seconds
            self.opened.append(opened)
            self.lengths.append(self.now - opened)

    def read_traces(self) -> World:
        return self

    def by_frame(self) -> Mapping[Frame, tuple[int, int]]:
        return self.sites

    def look_deep(self, run: Callable[[], float], *_: object, **__: object) -> DeepLook:
        with self.window():
            run()
            return deep_look(
                {(LEAK,): self.sites.get(LEAK, (0, 0)), ((APP, 1),): (9, 9)}
            )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module, "newborn_window", made.window)
    monkeypatch.setattr(module, "look_deep", made.look_deep)
    monkeypatch.setattr(module, "collects_automatically", lambda: False)
    monkeypatch.setattr(module, "DaemonThread", lambda run, _name: Held(run, made))
    return made


class Held:
    """Stands in for the thread: it runs when the test says so."""

    def __init__(self, run: Callable[[DaemonThread], None], world: World) -> None:
        self._run, self._world = run, world
        self.stopping = False
        self.stops = 0

    def wait(self, seconds: float) -> bool:
        return self._world.wait(seconds) or self.stopping

    def stop(self, _patience_seconds: float) -> None:
        self.stopping = True
        self.stops += 1

    def run(self) -> None:
        self._run(cast("Any", self))


def investigation(
    world: World,
    budget: float = 0.05,
    found: Callable[[], None] = lambda: None,
    has_room: Callable[[], bool] = lambda: True,
) -> Investigation:
    return Investigation(
        work=world.work,
        budget=budget,
        found=found,
        has_room=has_room,
        clock=lambda: world.now,
        cpu_clock=lambda: world.cpu,
        waiting=lambda: world.now * world.waiting_share,
    )


def run(one: Investigation) -> None:
    cast("Held", one._thread).run()


def test_nothing_runs_while_nothing_is_suspicious(world: World) -> None:
    one = investigation(world)
    assert not one.running
    assert one.cost().overhead_ratio is one.cost().longest_pause_seconds is None
    assert one.cost().windows == 0
    assert one.findings().looks == ()


def test_suspicion_finds_the_line_and_ends(world: World) -> None:
    told: list[int] = []
    one = investigation(world, found=lambda: told.append(len(world.lengths)))
    one.suspect()
    assert one.running
    run(one)
    assert not one.running
    assert told == [5, 9]
    found = one.findings()
    assert [row.frame for row in found.rows()] == [LEAK]
    assert found.rows()[0].size.slope == pytest.approx(1024, rel=0.01)
    assert found.deep is not None
    assert list(found.deep.survivors) == [(LEAK,)]
    assert world.now < 120


@pytest.mark.parametrize("waiting_share", [0.0, 0.6])
@pytest.mark.parametrize("budget", [0.02, 0.05, 0.1])
def test_the_budget_is_kept_as_it_is_measured(
    world: World, budget: float, waiting_share: float
) -> None:
    world.waiting_share = waiting_share
    one = investigation(world, budget=budget)
    one.ask(300.0 / (1 - waiting_share))
    run(one)
    units = cast("Any", world.work.read()).finished
    truly_lost = (world.cpu - units * world.unit_seconds) / world.now
    truly_lost /= 1 - waiting_share
    ratio = one.cost().overhead_ratio
    assert ratio == pytest.approx(truly_lost, rel=0.1)
    assert 0.3 * budget < truly_lost <= budget


def test_cheaper_windows_are_opened_more_often(world: World) -> None:
    dear = investigation(world)
    dear.ask(100.0)
    run(dear)
    world.slow_down, lengths = 1.2, sum(world.lengths)
    cheap = investigation(world)
    cheap.ask(100.0)
    run(cheap)
    assert sum(world.lengths) - lengths > 2 * lengths


def test_without_work_that_is_counted_growth_is_per_second(world: World) -> None:
    one = Investigation(
        work=WorkCounter(),
        clock=lambda: world.now,
        cpu_clock=lambda: world.cpu,
        waiting=lambda: 0.0,
    )
    one.suspect()
    run(one)
    found = one.findings()
    assert not found.counted
    assert found.rows()[0].size.slope == pytest.approx(102_400, rel=0.05)


def test_when_no_line_grows_it_ends_without_a_look_at_depth(world: World) -> None:
    world.leaks = False
    one = investigation(world)
    one.suspect()
    run(one)
    assert one.cost().windows == module.ENOUGH_QUIET_WINDOWS
    assert one.findings().deep is None


def test_no_budget_no_window(world: World) -> None:
    one = investigation(world, budget=0.0)
    one.suspect()
    run(one)
    assert world.lengths == []
    assert module.MOST_SECONDS <= world.now < module.MOST_SECONDS + 1


def test_without_room_no_window_is_opened(world: World) -> None:
    one = investigation(world, has_room=lambda: world.now > 60.0)
    one.suspect()
    run(one)
    assert world.opened
    assert min(world.opened) > 60.0


def test_it_rests_ever_longer_before_the_next(world: World) -> None:
    one = investigation(world)
    begun: list[float] = []
    for _ in range(20_000):
        one.suspect()
        if one.running:
            begun.append(world.now)
            run(one)
        world.wait(1.0)
    gaps = [b - a for a, b in pairwise(begun)]
    assert gaps[:4] == pytest.approx([600, 1_200, 2_400, 3_600], abs=2)
    assert gaps[-1] == pytest.approx(3_600, abs=2)


def test_one_runs_at_a_time(world: World) -> None:
    one = investigation(world)
    one.suspect()
    first = one._thread
    one.ask(5.0)
    one.suspect()
    assert one._thread is first


def test_asking_goes_on_for_as_long_as_was_asked(world: World) -> None:
    one = investigation(world)
    one.ask(50.0)
    run(one)
    assert 50 <= world.now < 60
    assert one.cost().seconds == pytest.approx(world.now, abs=1)


def test_stopping_ends_it_and_no_window_follows(world: World) -> None:
    one = investigation(world)
    one.ask(1e6)
    held = cast("Held", one._thread)
    one.stop()
    assert held.stops == 1
    run(one)
    assert world.lengths == []
    one.stop()


def test_a_look_that_pauses_the_program_shortens_the_next(world: World) -> None:
    world.pause_seconds = 0.05
    one = investigation(world)
    one.ask(600.0)
    run(one)
    assert one.cost().longest_pause_seconds == 0.05
    assert one._pace == module.LEAST_PACE
    assert max(world.lengths[4:]) < 1.6 / 2
    world.pause_seconds = 0.001
    one.ask(600.0)
    run(one)
    assert one._pace == 1.0


@pytest.mark.parametrize("error", [WindowRefused("no quiet moment"), MemoryError()])
def test_a_window_that_fails_costs_a_window(world: World, error: Exception) -> None:
    world.refused = error
    one = investigation(world)
    one.ask(20.0)
    run(one)
    assert one.cost().windows == 0
    world.refused = None
    one.ask(60.0)
    run(one)
    assert one.cost().windows >= 4


def test_what_was_found_is_kept_until_there_is_more(world: World) -> None:
    one = investigation(world)
    one.suspect()
    run(one)
    world.refused = LeakguardError("no more")
    one.ask(5.0)
    run(one)
    assert [row.frame for row in one.findings().rows()] == [LEAK]


def test_what_grows_no_more_is_forgotten(world: World) -> None:
    one = investigation(world)
    one.suspect()
    run(one)
    world.leaks = False
    one.ask(300.0)
    run(one)
    assert one.findings().rows() == ()
    assert one.findings().looks


def test_what_is_kept_is_bounded(world: World) -> None:
    world.slow_down = 1.0
    one = investigation(world)
    one.ask(600.0)
    run(one)
    assert len(one.findings().looks) == module.KEPT_LOOKS
    many = {(f"{n}.py", n): (n, 1) for n in range(5_000)}
    kept = module._most(many)
    assert len(kept) == module.KEPT_SITES
    assert min(kept.values()) == (5_000 - module.KEPT_SITES, 1)
    stacks = {((APP, n), LEAK): (n, 1) for n in range(5_000)}
    types = {stack: {"dict": 1} for stack in stacks}
    look = deep_look(stacks, types=types, vanished=frozenset(stacks))
    trimmed = module._trimmed(look, frozenset(stack[0] for stack in stacks))
    for part in (trimmed.survivors, trimmed.types, trimmed.vanished):
        assert len(part) == module.KEPT_STACKS


def test_a_fork_forgets_all(world: World) -> None:
    one = investigation(world)
    one.suspect()
    run(one)
    one.reset()
    assert one.findings().looks == ()
    assert one.cost().windows == 0
    one.suspect()
    assert one.running


def test_one_that_breaks_makes_room_for_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise MemoryError

    one = investigation(world)
    monkeypatch.setattr(one, "_cycle", fail)
    one.ask(5.0)
    with pytest.raises(MemoryError):
        run(one)
    assert not one.running


def test_without_a_thread_there_is_no_investigation_and_no_error(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "DaemonThread", refuse)
    one = investigation(world)
    one.ask(5.0)
    assert not one.running
    assert "can't start new thread" in caplog.text


def test_a_real_one_names_the_line_that_grows_and_leaves_nothing_behind() -> None:
    work, over = WorkCounter(), threading.Event()

    def serve() -> None:
        while not over.wait(0.002):
            work.begin()
            KEPT.append(Counter(range(20)))
            work.end()

    server = threading.Thread(target=serve)
    server.start()
    one = Investigation(work=work, budget=0.9, window_seconds=(0.1, 0.4, 0.2, 0.6))
    try:
        one.suspect()
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while one.running:
            assert time.monotonic() < give_up_at, "it takes too long"
            time.sleep(0.05)
        found = one.findings()
    finally:
        over.set()
        server.join()
        one.stop()
        KEPT.clear()
    assert found.counted
    assert found.deep is not None
    assert any(row.frame[0].endswith("collections/__init__.py") for row in found.rows())
    assert (one.cost().longest_pause_seconds or 0.0) > 0
    assert not tracemalloc.is_tracing()
    assert gc.isenabled()


def test_an_open_window_is_closed_when_it_is_stopped() -> None:
    one = Investigation(work=WorkCounter(), budget=99.0, window_seconds=(60.0,))
    one.ask(60.0)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not tracemalloc.is_tracing():
        assert time.monotonic() < give_up_at, "it takes too long"
        time.sleep(0.01)
    begun = time.monotonic()
    one.stop()
    assert time.monotonic() - begun < 10.0
    assert not tracemalloc.is_tracing()


def test_an_empty_window_counts_as_one() -> None:
    assert module._most(Traces((), array("q"), array("q")).by_frame()) == {}
