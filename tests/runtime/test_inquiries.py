"""What people ask: how often, one investigation at a time, and for all workers."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from leakguard._core.records import Unknown
from leakguard._runtime import inquiries as module
from leakguard._runtime.board import Board
from leakguard._runtime.inquiries import ALL, HEAVY, POST_SECONDS, Inquiries
from leakguard._runtime.monitor import Options, attach, detach, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from leakguard._runtime.monitor import Monitor


class World:
    def __init__(self, place: Path) -> None:
        self.now = 1000.0
        self.states = 0
        begun = time.time() - self.now + 1.0  # marks are older than what they ask for
        self.board = Board(str(place), clock=lambda: begun + self.now)
        self.inquiries = Inquiries(
            self.board,
            state=self.state,
            report=lambda report: f"report of {report.program.pid}",
            clock=lambda: self.now,
        )

    def state(self, _monitor: Monitor) -> str:
        self.states += 1
        return f"state {self.states}"

    def posted(self, kind: str) -> list[str]:
        found = self.board.read(kind)
        assert isinstance(found, list)
        return [posting.text for posting in found]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "board")


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    user = object()
    yield attach(user, Options())
    detach(user)


def wait_for(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_so_much_may_be_asked_at_once_and_then_per_second(world: World) -> None:
    for is_heavy, bucket in ((False, ALL), (True, HEAVY)):
        waits = [
            world.inquiries.wait_seconds(is_heavy=is_heavy)
            for _ in range(bucket.burst + 1)
        ]
        assert waits == [0.0] * bucket.burst + [1 / bucket.per_second]


def test_the_state_is_posted_now_and_then(world: World, monitor: Monitor) -> None:
    world.inquiries.tick(monitor)
    world.now += POST_SECONDS / 2
    world.inquiries.tick(monitor)
    assert world.posted("state") == ["state 1"]
    world.now += POST_SECONDS
    world.inquiries.tick(monitor)
    assert world.posted("state") == ["state 2"]


def test_it_is_attached_once_and_to_the_monitor_that_runs(world: World) -> None:
    world.inquiries.attach()  # nobody watches
    user = object()
    for _ in range(2):
        found = attach(user, Options())
        world.inquiries.attach()
        world.inquiries.attach()
        assert found.listeners == [world.inquiries.tick]
        detach(user)


def test_a_tick_posts_and_what_a_listener_raises_disturbs_no_other(
    world: World, monitor: Monitor
) -> None:
    monitor.listeners.append(lambda _monitor: 1 // 0)
    world.inquiries.attach()
    failed = monitor.watcher.state.failed_ticks
    monitor.watcher.step()
    assert world.posted("state")
    assert monitor.watcher.state.failed_ticks == failed


def test_a_forked_child_is_no_worker_until_it_says_so(
    world: World, monitor: Monitor
) -> None:
    world.inquiries.attach()
    pid = os.fork()
    if not pid:
        left = process().monitor
        os._exit(0 if left is not None and left.listeners == [] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert monitor.listeners == [world.inquiries.tick]


# --- baselines


def test_a_baseline_is_set_in_all_workers_and_once(
    tmp_path: Path, monitor: Monitor
) -> None:
    one, other = World(tmp_path / "board"), World(tmp_path / "board")
    one.inquiries.set_baseline("before")
    one.board.want("something-else")
    for world in (one, other):
        world.now += 2.0
        world.inquiries.tick(monitor)
        assert world.inquiries.baselines.names() == ("before",)
    assert one.inquiries.baselines.age_seconds("before") == 2.0  # it had it already
    other.now += 1.0
    one.inquiries.set_baseline("before")
    anew = time.time() + 10.0
    (mark,) = (tmp_path / "board").glob("*.baseline-before")
    os.utime(mark, (anew, anew))
    other.now += 30.0
    other.inquiries.tick(monitor)
    assert other.inquiries.baselines.age_seconds("before") == 0.0


# --- an investigation


def test_an_investigation_goes_on_by_itself_and_posts_its_report(
    world: World, monitor: Monitor
) -> None:
    begun = time.monotonic()
    assert world.inquiries.investigate(0.4) is None
    assert time.monotonic() - begun < 0.3
    assert monitor.investigation is not None
    wait_for(lambda: world.posted("report"))
    assert time.monotonic() - begun >= 0.4
    assert world.posted("report") == [f"report of {os.getpid()}"]
    wait_for(lambda: not world.inquiries._under_way)


def test_of_many_who_ask_at_once_one_is_served(world: World, monitor: Monitor) -> None:
    assert monitor.investigation is not None
    barrier = threading.Barrier(8)
    answers: list[Unknown | None] = []

    def ask() -> None:
        barrier.wait()
        answers.append(world.inquiries.investigate(0.3))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(None) == 1
    assert answers.count(Unknown("an investigation is under way already")) == 7
    wait_for(lambda: not world.inquiries._under_way)
    assert world.inquiries.investigate(0.1) is None
    wait_for(lambda: not world.inquiries._under_way)


def test_it_ends_with_the_guard(world: World, monitor: Monitor) -> None:
    assert world.inquiries.investigate(300.0) is None
    assert monitor.investigation is not None
    wait_for(
        lambda: monitor.investigation is not None and monitor.investigation.running
    )
    monitor.investigation.stop()
    wait_for(lambda: not world.inquiries._under_way)


def test_where_nobody_watches_nobody_looks(
    world: World, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwatched = Unknown("no guard watches this process")
    with monkeypatch.context() as patch:
        patch.setattr(process(), "monitor", None)
        assert world.inquiries.investigate(1.0) == unwatched
    monkeypatch.setattr(monitor, "investigation", None)
    assert world.inquiries.investigate(1.0) == unwatched


def test_without_a_thread_nothing_is_under_way(
    world: World, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*_: object) -> None:
        raise RuntimeError

    assert monitor.investigation is not None
    monkeypatch.setattr(module, "DaemonThread", no_more)
    for _ in range(2):
        assert world.inquiries.investigate(1.0) == Unknown(
            "there can be no more threads"
        )
