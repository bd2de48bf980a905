"""The daemon thread: it sleeps, wakes to end, and keeps what it raises to itself."""

from __future__ import annotations

import threading
import time
from typing import NoReturn

import pytest

from leakguard._runtime import thread as module
from leakguard._runtime.thread import DaemonThread


@pytest.fixture(params=["a thread of threading's", "a native one, beside gevent"])
def _kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    green = request.param.startswith("a native")
    monkeypatch.setattr(module, "is_green", lambda: green)


@pytest.mark.usefixtures("_kind")
def test_it_is_woken_to_end() -> None:
    woken: list[bool] = []
    thread = DaemonThread(lambda own: woken.append(own.wait(1e9)), "sleeper")
    begun = time.monotonic()
    thread.stop(30.0)
    thread.stop(30.0)
    assert woken == [True]
    assert time.monotonic() - begun < 5.0
    assert thread.wait(60.0)


@pytest.mark.usefixtures("_kind")
def test_it_may_stop_itself() -> None:
    ended = threading.Event()

    def run(own: DaemonThread) -> None:
        own.stop(60.0)
        ended.set()

    DaemonThread(run, "own").stop(30.0)
    assert ended.wait(30.0)


@pytest.mark.usefixtures("_kind")
def test_what_it_raises_stays_there(capfd: pytest.CaptureFixture[str]) -> None:
    def run(_own: DaemonThread) -> NoReturn:
        raise ZeroDivisionError

    DaemonThread(run, "failing").stop(30.0)
    assert capfd.readouterr() == ("", "")


def test_one_that_does_not_come_is_not_waited_for() -> None:
    busy = threading.Event()
    thread = DaemonThread(lambda _own: busy.wait(60.0) and None, "busy")
    begun = time.monotonic()
    thread.stop(0.05)
    assert time.monotonic() - begun < 5.0
    busy.set()
    thread.stop(30.0)


def test_it_holds_up_no_end_of_the_interpreter() -> None:
    thread = DaemonThread(lambda own: own.wait(60.0) and None, "daemon")
    assert [t.daemon for t in threading.enumerate() if t.name == "daemon"] == [True]
    thread.stop(30.0)
