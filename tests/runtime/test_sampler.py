"""Windows onto a program that runs by itself."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections import deque
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from leakguard._core.observe import GrowthRow
from leakguard._runtime import sampler as module
from leakguard._runtime.sampler import Sampler
from leakguard._runtime.window import WindowRefused, newborn_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard._core.records import Report

#: How long a test waits for what should take a second or two.
PATIENCE_SECONDS = 60.0
#: A cycle of half a second, for tests.
LENGTHS = (0.04, 0.16, 0.08, 0.24)

KEPT: list[object] = []
BOUNDED: deque[object] = deque(maxlen=90_000)


class Order:
    __slots__ = ("body",)

    def __init__(self) -> None:
        self.body = bytearray(2_000)


class Leaking:
    """A thread that keeps something all the time."""

    def __init__(self, keep: Callable[[], None]) -> None:
        self._keep = keep
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(0.002):
            self._keep()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture(autouse=True)
def _emptied() -> Iterator[None]:
    yield
    KEPT.clear()
    BOUNDED.clear()


@pytest.fixture
def sampler() -> Iterator[Sampler]:
    """Return a sampler with all the budget it can use; stop it in the end."""
    made = Sampler(
        budget=20.0, app_root=str(Path(__file__).parent), window_seconds=LENGTHS
    )
    yield made
    made.stop()


def _keep() -> None:
    KEPT.append(Order())


def _samplers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "leakguard-sampler"]


def _wait(until: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    waiting = threading.Event()
    while not until():
        assert time.monotonic() < give_up_at, "it takes too long"
        waiting.wait(0.01)


def _watched(sampler: Sampler, keep: Callable[[], None]) -> Report:
    """Return the report on a leaking thread after two cycles and a look at depth."""
    with Leaking(keep):
        _wait(lambda: len(KEPT) > 20 or len(BOUNDED) > 20)
        sampler.start()
        _wait(lambda: sampler._deep and len(sampler._bursts) >= 9)
        sampler.stop()
    return sampler.report()


def test_nothing_runs_before_the_start() -> None:
    Sampler()
    assert _samplers() == []


def test_before_any_window_nothing_is_known() -> None:
    report = Sampler().report()
    assert report.verdict.kind == "unknown"
    assert "0 of the 4 windows needed" in report.verdict.reason
    assert report.program.mode == "run"
    assert report.suspects == ()
    assert report.cost.windows == 0


def test_no_time_is_no_overhead() -> None:
    assert Sampler(clock=lambda: 5.0).report().cost.overhead_ratio is None


def test_a_leaking_thread_is_named_with_its_holder(sampler: Sampler) -> None:
    report = _watched(sampler, _keep)
    assert report.verdict.kind == "leak", report.verdict
    (first, *_) = report.suspects
    assert first.site is not None
    assert first.owner is not None
    assert first.site.file == __file__
    assert first.site.in_app
    assert first.owner.path == f"{__name__}.KEPT"
    assert first.growth_bytes_per_call is None
    assert first.growth_bytes_per_second is not None
    assert first.growth_bytes_per_second > 10_000
    assert report.cost.windows >= 4
    assert report.cost.longest_pause_seconds is not None
    assert report.cost.longest_pause_seconds > 0


def test_a_quiet_program_is_steady(sampler: Sampler) -> None:
    sampler.start()
    _wait(lambda: len(sampler._bursts) >= 8)
    sampler.stop()
    report = sampler.report()
    assert report.verdict.kind == "steady"
    assert report.suspects == ()


def test_windows_of_a_cycle_differ_in_length_and_the_first_is_short(
    sampler: Sampler,
) -> None:
    sampler.start()
    _wait(lambda: len(sampler._bursts) >= 8)
    sampler.stop()
    lengths = [burst.seconds for burst in sampler._bursts[:8]]
    assert all(
        seconds >= length / 8
        for seconds, length in zip(lengths, LENGTHS * 2, strict=False)
    )
    assert all(
        seconds >= length for seconds, length in zip(lengths[4:], LENGTHS, strict=True)
    )


def test_windows_wait_until_they_are_paid_for() -> None:
    # Each reading of the clock takes a tenth of a second.
    ticks = count()
    sampler = Sampler(budget=0.5, window_seconds=(0.1,), clock=lambda: next(ticks) / 10)
    sampler.start()
    _wait(lambda: len(sampler._bursts) >= 3)
    sampler.stop()
    ratio = sampler.report().cost.overhead_ratio
    assert ratio is not None
    assert 0 < ratio < 1


def test_no_window_opens_without_a_budget() -> None:
    ticks = count()
    sampler = Sampler(budget=0.0, clock=lambda: float(next(ticks)))
    sampler.start()
    _wait(lambda: len(sampler._totals) >= 2)
    sampler.stop()
    assert sampler.report().cost.windows == 0


def test_the_end_comes_quickly_and_leaves_nothing_behind() -> None:
    sampler = Sampler(budget=100.0, window_seconds=(60.0,))
    sampler.start()
    _wait(tracemalloc.is_tracing)
    begun = time.monotonic()
    sampler.stop()
    assert time.monotonic() - begun < 10.0
    assert not tracemalloc.is_tracing()
    assert _samplers() == []


def test_it_may_be_stopped_before_it_starts_and_twice() -> None:
    sampler = Sampler()
    sampler.stop()
    sampler.stop()
    assert sampler.report().verdict.kind == "unknown"


def test_it_may_be_stopped_by_its_own_thread(
    monkeypatch: pytest.MonkeyPatch, sampler: Sampler
) -> None:
    stopped: list[bool] = []

    def look(_length: float) -> None:
        sampler.stop()
        stopped.append(True)

    monkeypatch.setattr(sampler, "_look", look)
    sampler.start()
    _wait(lambda: stopped)


def test_it_may_be_started_twice(sampler: Sampler) -> None:
    sampler.start()
    sampler.start()
    running = len(_samplers())
    sampler.stop()
    _wait(lambda: not _samplers())
    assert running == 1


def test_a_refused_window_does_no_harm(sampler: Sampler) -> None:
    refused = threading.Event()

    @contextmanager
    def refuse(*_: object, **__: object) -> Iterator[NoReturn]:
        refused.set()
        raise WindowRefused("no quiet moment")
        yield

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "newborn_window", refuse)
        sampler.start()
        _wait(refused.is_set)
    _wait(lambda: sampler._bursts)
    sampler.stop()
    assert sampler.report().cost.windows >= 1


def test_a_window_of_the_application_does_no_harm(sampler: Sampler) -> None:
    with newborn_window():
        sampler.start()
        _wait(lambda: sampler._lost_seconds > 0)
        assert sampler._bursts == ()
    _wait(lambda: sampler._bursts)


def test_a_failing_look_at_depth_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, sampler: Sampler
) -> None:
    failed = threading.Event()

    def fail(*_: object, **__: object) -> NoReturn:
        failed.set()
        raise ZeroDivisionError

    monkeypatch.setattr(module, "look_deep", fail)
    monkeypatch.setattr(module, "rate_rows", lambda _bursts: [GrowthRow])
    sampler.start()
    _wait(failed.is_set)
    before = len(sampler._bursts)
    _wait(lambda: len(sampler._bursts) > before)
    sampler.stop()


def test_a_look_at_depth_waits_for_its_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[object] = []
    monkeypatch.setattr(module, "look_deep", lambda *_, **__: looked.append(1))
    monkeypatch.setattr(module, "rate_rows", lambda _bursts: [GrowthRow])
    # The first window is free, the look at depth can never be paid for.
    monkeypatch.setattr(module, "DEPTH_SECONDS", 1e9)
    sampler = Sampler(budget=20.0, window_seconds=(0.0,))
    sampler.start()
    _wait(lambda: sampler._bursts)
    sampler.stop()
    assert looked == []
    assert _samplers() == []


def test_the_memory_of_a_long_run_is_bounded(
    monkeypatch: pytest.MonkeyPatch, sampler: Sampler
) -> None:
    monkeypatch.setattr(module, "_KEPT_TOTALS", 16)
    monkeypatch.setattr(module, "_KEPT_BURSTS", 2)
    for _ in range(100):
        sampler._count_totals()
    stamps = [total.at_seconds for total in sampler._totals]
    assert 8 <= len(stamps) <= 16
    assert stamps == sorted(stamps)
    for _ in range(4):
        sampler._look(0.001)
    assert len(sampler._bursts) == 2


def test_what_a_container_with_a_bound_holds_is_acquitted(sampler: Sampler) -> None:
    report = _watched(sampler, lambda: BOUNDED.append(Order()))
    assert report.verdict.kind == "cache", report.verdict
    assert report.suspects == ()
    (acquittal,) = report.acquitted
    assert acquittal.owner_path == f"{__name__}.BOUNDED"
    assert "deque maxlen" in acquittal.reason
