"""The newborn window: what it shows, and that it puts everything back."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import tracemalloc
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from leakguard._core.records import LeakguardError, Unknown
from leakguard._core.traces import Traces
from leakguard._readers import heap
from leakguard._runtime import fence, window
from leakguard._runtime.window import (
    WindowRefused,
    newborn_window,
    settle_tracing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
NOISY = Unknown("threads keep coming and going")


class Knot:
    """Garbage that only the collector can free."""

    def __init__(self, size: int) -> None:
        self.itself = self
        self.load = bytes(size)


def _bytes_here(traces: Traces) -> int:
    return sum(
        size for (file, _), (size, _) in traces.by_frame().items() if file == __file__
    )


@pytest.fixture(autouse=True)
def _nothing_owed() -> Iterator[None]:
    yield
    assert not window._STATE.stop_owed
    assert not window._STATE.open


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let no test wait: rests are counted, and the clock stands still."""
    taken: list[float] = []
    now = [0.0]

    def rest(seconds: float) -> None:
        taken.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(fence, "rest", rest)
    monkeypatch.setattr(window, "monotonic", lambda: now[0])
    return taken


# What it shows


def test_it_shows_what_is_born_and_lives_and_nothing_else() -> None:
    old = [bytes(50_000)]
    with newborn_window() as view:
        kept = [bytes(10_000) for _ in range(10)]
        gone = [bytes(10_000) for _ in range(10)]
        del gone
        traces = view.read_traces()
        newborn = heap.objects_but_tuples()
    assert 100_000 <= _bytes_here(traces) < 110_000
    assert any(item is kept for item in newborn)
    assert not any(item is old for item in newborn)


def test_traces_are_as_deep_as_was_asked() -> None:
    def deep(levels: int) -> list[bytes]:
        return deep(levels - 1) if levels else [bytes(5_000)]

    with newborn_window(nframe=3) as view:
        kept = deep(5)
        traces = view.read_traces()
    del kept
    assert max(len(stack) for stack in traces.stacks) == 3


def test_without_tracing_there_are_no_traces() -> None:
    with newborn_window(tracing=False) as view:
        assert not tracemalloc.is_tracing()
        assert view.frozen
        assert view.read_traces().total_count == 0


def test_without_freezing_the_old_heap_stays_in_sight() -> None:
    before = gc.get_freeze_count()
    with newborn_window(freeze=False) as view:
        assert not view.frozen
        assert gc.get_freeze_count() - before < heap.MOST_FROZEN_AT_START


def test_unfrozen_early_it_is_not_unfrozen_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with newborn_window(tracing=False) as view:
        view.unfreeze()
        assert not view.frozen
        monkeypatch.setattr(heap, "unfreeze", _never)
        view.unfreeze()


def _never(*_: object) -> NoReturn:
    raise AssertionError


# A look


def _tie_knots() -> None:
    for _ in range(10):
        Knot(10_000)


@pytest.fixture
def _no_collection_by_chance() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.set_threshold(1_000_000)
    yield
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("_no_collection_by_chance")
def test_a_look_shows_both_sides_of_its_collection() -> None:
    with newborn_window() as view:
        _tie_knots()
        look = view.look()
    assert look.before is not None
    assert _bytes_here(look.before) >= 100_000
    assert _bytes_here(look.traces) < 10_000
    assert look.collected >= 10
    assert look.objects_before >= 10


@pytest.mark.usefixtures("_no_collection_by_chance")
def test_a_look_does_not_cure_who_lives_without_the_collector() -> None:
    gc.disable()
    try:
        with newborn_window() as view:
            _tie_knots()
            look = view.look()
    finally:
        gc.enable()
    assert (look.before, look.collected) == (None, 0)
    assert _bytes_here(look.traces) >= 100_000


def test_a_look_leaves_an_old_heap_in_sight_to_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heap, "freeze", lambda: False)
    monkeypatch.setattr(heap, "unfreeze", _never)
    with newborn_window() as view:
        assert not view.frozen
        assert view.look().before is None


@pytest.mark.usefixtures("_no_collection_by_chance")
def test_whether_a_look_collects_can_be_said() -> None:
    with newborn_window() as view:
        _tie_knots()
        assert view.look(collect=False).before is None
        assert view.look(collect=True).collected >= 10


def test_the_longest_pause_is_kept() -> None:
    with newborn_window() as view:
        opening = view.longest_pause_seconds
        looks = [view.look(), view.look()]
    assert all(look.pause_seconds > 0 for look in looks)
    longest = max(opening, *(look.pause_seconds for look in looks))
    assert view.longest_pause_seconds >= longest


# However it ends


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_an_exception_in_the_window_puts_everything_back(
    error: type[BaseException],
) -> None:
    with pytest.raises(error), newborn_window() as view:
        raise error
    assert not tracemalloc.is_tracing()
    assert gc.get_freeze_count() <= heap.MOST_FROZEN_AT_START
    assert not view.frozen


def test_a_closed_window_shows_nothing() -> None:
    with newborn_window() as view:
        pass
    assert view.read_traces().total_count == 0


def test_who_stops_tracing_inside_has_stopped_it() -> None:
    with newborn_window() as view:
        assert fence.stop_tracing() is True
        assert view.read_traces().total_count == 0


# One at a time


def test_a_window_in_a_window_is_refused() -> None:
    with newborn_window() as outer:
        with (
            pytest.raises(WindowRefused, match="another newborn window"),
            newborn_window(),
        ):
            _never()
        assert outer.frozen
        assert tracemalloc.is_tracing()
    assert issubclass(WindowRefused, LeakguardError)


def test_a_window_beside_a_window_is_refused() -> None:
    refused: list[str] = []

    def open_another() -> None:
        try:
            with newborn_window():
                _never()
        except WindowRefused as refusal:
            refused.append(str(refusal))

    with newborn_window():
        thread = threading.Thread(target=open_another)
        thread.start()
        thread.join()
    assert refused == ["another newborn window is open in this process"]
    with newborn_window():
        pass


# Beside the application's own tracing


@pytest.fixture
def _application_traces() -> Iterator[None]:
    assert fence.start_tracing(4) is True
    yield
    assert tracemalloc.is_tracing()
    assert fence.stop_tracing() is True


@pytest.mark.usefixtures("_application_traces")
def test_running_tracing_is_shared_and_its_past_subtracted() -> None:
    old = [bytes(10_000) for _ in range(10)]
    with newborn_window(nframe=1) as view:
        new = [bytes(10_000) for _ in range(5)]
        traces = view.read_traces()
        assert view.shared_tracing
    assert tracemalloc.get_traceback_limit() == 4
    assert 50_000 <= _bytes_here(traces) < 60_000
    del old, new


def test_growth_is_what_is_more_than_before() -> None:
    def traces(**rows: tuple[int, int]) -> Traces:
        sizes, counts = zip(*rows.values(), strict=True)
        stacks = tuple(((name, 1),) for name in rows)
        return Traces(stacks, array("q", sizes), array("q", counts))

    before = traces(same=(10, 1), fewer=(40, 4), larger=(8, 1), split=(90, 1))
    after = traces(
        same=(10, 1), fewer=(10, 1), larger=(64, 1), split=(30, 3), new=(7, 1)
    )
    grown = {
        stack[0][0]: row
        for stack, row in window._since(after, before).by_stack().items()
    }
    assert grown == {"larger": (56, 0), "split": (0, 2), "new": (7, 1)}


# When tracing cannot be started or stopped


def test_a_window_that_cannot_trace_is_refused_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, rests: list[float]
) -> None:
    monkeypatch.setattr(fence, "start_tracing", lambda _nframe: NOISY)
    with pytest.raises(WindowRefused, match="keep coming"), newborn_window():
        _never()
    assert gc.get_freeze_count() <= heap.MOST_FROZEN_AT_START
    assert sum(rests) == pytest.approx(window.OPEN_PATIENCE_SECONDS, abs=0.03)


def test_what_is_unsupported_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, rests: list[float]
) -> None:
    unsupported = Unknown("unsupported: here")
    monkeypatch.setattr(fence, "start_tracing", lambda _nframe: unsupported)
    with pytest.raises(WindowRefused, match="unsupported"), newborn_window():
        _never()
    assert not rests


@pytest.mark.usefixtures("rests")
def test_a_refused_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals, start = [NOISY] * 3, fence.start_tracing

    def later(nframe: int) -> object:
        return refusals.pop() if refusals else start(nframe)

    monkeypatch.setattr(fence, "start_tracing", later)
    with newborn_window():
        assert tracemalloc.is_tracing()


@pytest.mark.usefixtures("rests")
def test_a_refused_stop_is_owed_said_and_settled_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as noisy:
        noisy.setattr(fence, "stop_tracing", lambda: NOISY)
        with caplog.at_level(logging.WARNING, "leakguard"), newborn_window():
            pass
        assert tracemalloc.is_tracing()
        assert not settle_tracing()
    assert "stays on" in caplog.text
    assert settle_tracing()
    assert not tracemalloc.is_tracing()


@pytest.mark.usefixtures("rests")
def test_the_next_window_settles_what_the_last_one_owes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as noisy:
        noisy.setattr(fence, "stop_tracing", lambda: NOISY)
        with newborn_window():
            pass
    with newborn_window(nframe=2) as view:
        assert not view.shared_tracing
        assert tracemalloc.get_traceback_limit() == 2


def test_an_interrupt_while_it_stops_stops_it_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop, calls = fence.stop_tracing, []

    def interrupted_once() -> object:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return stop()

    monkeypatch.setattr(fence, "stop_tracing", interrupted_once)
    with pytest.raises(KeyboardInterrupt), newborn_window():
        pass
    assert not tracemalloc.is_tracing()


def test_an_interrupt_while_it_opens_puts_everything_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = fence.start_tracing

    def interrupted(nframe: int) -> NoReturn:
        start(nframe)
        raise KeyboardInterrupt

    monkeypatch.setattr(fence, "start_tracing", interrupted)
    with pytest.raises(KeyboardInterrupt), newborn_window():
        _never()
    assert not tracemalloc.is_tracing()


# A forked child

FORK = """
import gc, os, threading, tracemalloc
from leakguard._readers import heap
from leakguard._runtime.window import newborn_window

original = threading.Thread.start
pid = -1

def restored():
    return (
        not tracemalloc.is_tracing()
        and gc.get_freeze_count() <= heap.MOST_FROZEN_AT_START
        and threading.Thread.start is original
    )

try:
    with newborn_window():
        pid = os.fork()
        if pid:
            assert tracemalloc.is_tracing() and not restored()
        else:
            assert restored()
    if pid == 0:
        with newborn_window():
            assert tracemalloc.is_tracing()
    assert restored()
except BaseException:
    import traceback
    traceback.print_exc()
    os._exit(1)
if pid == 0:
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_has_no_window() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_window_can_be_abandoned_under_way() -> None:
    with newborn_window() as view:
        window._STATE.abandon()  # as in the child: nobody else is there
        assert not tracemalloc.is_tracing()
        assert not view.frozen
    assert view.read_traces().total_count == 0


@pytest.mark.usefixtures("_application_traces")
def test_an_abandoned_window_leaves_the_applications_tracing() -> None:
    with newborn_window():
        window._STATE.abandon()
        assert tracemalloc.is_tracing()


@pytest.mark.usefixtures("rests")
def test_a_forked_child_owes_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as noisy:
        noisy.setattr(fence, "stop_tracing", lambda: NOISY)
        with newborn_window():
            pass
    window._STATE.abandon()  # as in the child: nobody else is there
    assert not tracemalloc.is_tracing()
