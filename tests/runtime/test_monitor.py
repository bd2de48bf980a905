"""The monitor that guards share, and the process's own things."""

from __future__ import annotations

import os
import tracemalloc
from typing import TYPE_CHECKING, NoReturn

import pytest

from leakguard._core.samples import Limit
from leakguard._runtime import monitor as module
from leakguard._runtime.monitor import (
    Monitor,
    Options,
    Process,
    attach,
    detach,
    process,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = Limit(1_000, "cgroup2 /app memory.max")


@pytest.fixture
def user() -> Iterator[object]:
    made = object()
    yield made
    detach(made)


def test_a_fork_past_the_hooks_is_noticed(
    user: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = attach(user, Options())
    monitor.watcher.stop()
    monkeypatch.setattr(monitor, "pid", os.getpid() + 1)
    assert attach(user, Options()) is monitor
    assert monitor.pid == os.getpid()
    assert monitor.users == [user]


def test_the_hooks_find_nothing_to_do_where_nobody_watches() -> None:
    home = Process()
    home.work.begin()
    home._after_fork()
    assert home.work.read() is not None
    home._at_exit()


def test_at_the_end_the_threads_are_let_go(user: object) -> None:
    attach(user, Options())
    process()._at_exit()


def test_hooks_raise_nothing(user: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = attach(user, Options())

    def fail() -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(monitor, "after_fork", fail)
    monkeypatch.setattr(monitor, "at_exit", fail)
    process()._after_fork()
    process()._at_exit()


def test_letting_go_of_what_one_does_not_use_does_nothing(user: object) -> None:
    detach(user)
    attach(user, Options())
    detach(object())
    assert process().monitor is not None


def test_a_sub_interpreter_is_told_from_the_main_one(
    monkeypatch: pytest.MonkeyPatch, user: object
) -> None:
    monkeypatch.setattr(module, "is_main_interpreter", lambda: False)
    monitor = attach(user, Options(trace_always=True))
    monitor.investigate(5.0)
    monitor.after_fork()
    monitor.at_exit()
    assert monitor.watcher.state.ticks == 0
    assert "unsupported" in monitor.watcher.state.pressure.source
    assert monitor.investigation is None
    assert monitor.report().cost.windows == 0
    assert not tracemalloc.is_tracing()


def test_an_unsupported_one_judges_without_looking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "is_main_interpreter", lambda: False)
    monkeypatch.setattr(module, "is_suspicious", lambda _trend: True)
    monitor = Monitor(Options(), process().work)
    monitor.watcher.judge()
    assert monitor.verdict.kind == "unknown"


def test_an_unstarted_monitor_reports_too() -> None:
    report = Monitor(Options(), process().work).report()
    assert report.verdict.kind == "unknown"
