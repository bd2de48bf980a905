"""Short trials of real work: what grows per call and what only looks like it."""

from __future__ import annotations

import functools
import gc
import io
import logging
import re
import sys
import time
import tracemalloc
import warnings
from collections import OrderedDict, deque
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leakguard._core.belongings import KINDS
from leakguard._readers.source import SourceMap
from leakguard._runtime import trial
from leakguard._runtime.keepsakes import Keepsakes
from leakguard._runtime.leftovers import left_behind
from leakguard._runtime.trial import try_work
from leakguard._runtime.work import Work, WorkFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard._core.trial import Witness
    from leakguard._runtime.trial import Trial

KEPT: list[object] = []
CACHE: dict[object, object] = {}
LAST: deque[object] = deque(maxlen=5_000)
RECENT: OrderedDict[int, bytes] = OrderedDict()
NUMBERS = count()
#: Time enough for any machine: the calls decide.
SECONDS = 20.0


class Node:
    """A link of a chain."""

    def __init__(self, before: object) -> None:
        self.before = before


class Order:
    """Something that a run may leave behind."""


@pytest.fixture(autouse=True)
def _emptied() -> Iterator[None]:
    yield
    for kept in (KEPT, CACHE, LAST, RECENT):
        kept.clear()  # type: ignore[attr-defined]


def _try(
    work: Callable[[], object],
    *,
    allowed: float = 48.0,
    seconds: float = SECONDS,
    **options: int | tuple[str, ...],
) -> Trial:
    return try_work(
        Work(work, time.perf_counter),
        SourceMap(str(Path(__file__).parent)),
        allowed_bytes_per_call=allowed,
        seconds=seconds,
        **options,  # type: ignore[arg-type]
    )


def _remember_recent() -> None:
    RECENT[next(NUMBERS)] = bytes(100)
    while len(RECENT) > 100:
        RECENT.popitem(last=False)


def _push() -> None:
    KEPT[:] = [Node(KEPT[0] if KEPT else None)]


@functools.lru_cache(maxsize=3_000)
def _cached(number: int) -> list[int]:
    return [number] * 10


LEAKS = {
    "64 bytes": lambda: KEPT.append(bytes(31)),
    "a megabyte": lambda: KEPT.append(bytearray(1 << 20)),
    "a key": lambda: CACHE.setdefault(next(NUMBERS), bytes(100)) and None,
    "a chain": _push,
}
INNOCENTS = {
    "nothing": lambda: None,
    "churn": lambda: [bytearray(500) for _ in range(20)],
    "a warm-up": lambda: CACHE.setdefault(next(NUMBERS) % 50, bytes(500)) and None,
    "a bound that is read": lambda: LAST.append([next(NUMBERS)]),
    "a bound that is reached": _remember_recent,
    "a cache of functions": lambda: len(_cached(next(NUMBERS))),
    "a cache of patterns": lambda: re.compile(f"a{next(NUMBERS)}b*") and None,
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_fails(name: str) -> None:
    found = _try(LEAKS[name])
    assert found.fails, found.found.verdict
    assert found.found.verdict.kind == "leak"
    assert found.found.suspects


@pytest.mark.parametrize("name", INNOCENTS)
def test_an_innocent_passes(name: str) -> None:
    found = _try(INNOCENTS[name])
    assert not found.fails, found.found.verdict
    assert found.found.suspects == ()


def test_a_big_list_that_is_resized_hides_no_leak() -> None:
    KEPT.extend(range(4_000))
    assert _try(lambda: KEPT.append(bytes(100))).fails


def test_at_depth_some_calls_are_made_however_long_they_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def noted(_picture: object, witness: Witness) -> bool:
        seen.append(witness.calls)
        return True

    monkeypatch.setattr(trial, "goes_on", noted)
    monkeypatch.setattr(trial, "DEPTH_SHARE", 0.0)
    assert _try(lambda: KEPT.append(bytes(100))).fails
    assert seen == [trial.LEAST_DEEP_CALLS]


@pytest.mark.parametrize("size", [64, 400, 1_024])
def test_a_buffer_that_is_extended_fails_by_whatever_it_grows(size: int) -> None:
    log = bytearray()
    assert _try(lambda: log.extend(bytes(size))).fails


def test_quiet_work_takes_few_calls_and_no_look_at_depth() -> None:
    found = _try(lambda: None)
    assert found.calls <= 160
    assert found.cost.windows <= 12


def test_calls_and_warm_up_are_as_asked() -> None:
    found = _try(lambda: KEPT.append(None), calls=30, warm_up=5)
    assert found.calls == 30
    assert len(KEPT) == 35


def test_growth_below_what_is_allowed_passes() -> None:
    assert not _try(lambda: KEPT.append(bytes(31)), allowed=100.0).fails


def test_only_the_kinds_that_are_asked_for_count() -> None:
    assert not _try(LEAKS["64 bytes"], kinds=("native",)).fails


def test_too_few_calls_are_undecided_and_say_what_would_decide() -> None:
    found = _try(LEAKS["64 bytes"], calls=8)
    assert found.found.verdict.kind == "unknown"
    assert "calls=32 would decide it" in found.found.verdict.reason
    assert not found.fails


def test_little_growth_that_nobody_holds_is_not_believed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial, "is_proven", lambda _suspects, _calls: False)
    found = _try(LEAKS["64 bytes"], calls=100)
    assert (found.fails, found.found.verdict.kind) == (False, "unknown")


def test_work_is_tried_beside_tracing_and_without_the_collector() -> None:
    tracemalloc.start()
    try:
        assert _try(LEAKS["64 bytes"], calls=100).fails
    finally:
        tracemalloc.stop()
    gc.disable()
    try:
        assert _try(LEAKS["64 bytes"], calls=100).fails
        assert not _try(INNOCENTS["churn"], calls=100).fails
    finally:
        gc.enable()


def test_an_unreadable_heap_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakguard._readers.process._heap_bytes", lambda: None)
    assert _try(LEAKS["64 bytes"], calls=100).fails


def test_work_that_fails_is_reported_and_all_is_restored() -> None:
    with pytest.raises(WorkFailed):
        _try(lambda: 1 / 0)
    assert not tracemalloc.is_tracing()


# --- what a test runner keeps --------------------------------------------------------


def test_what_a_runner_keeps_of_each_call_is_no_growth(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("shop")
    logger.warning("before")
    sys.stdout.write("before\n")

    def work() -> None:
        logger.warning("sold %s", "x" * 500)
        sys.stdout.write("sold" * 500)

    assert not _try(work).fails
    assert [record.getMessage() for record in caplog.records] == ["before"]
    assert capsys.readouterr().out == "before\n"


def test_recorded_warnings_are_dropped_and_other_streams_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed, kept = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    monkeypatch.setattr(sys, "stdout", kept)
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        warnings.warn("one", stacklevel=1)
        keepsakes = Keepsakes()
        closed.close()
        warnings.warn("two", stacklevel=1)
        sys.stdout.write("said")
        keepsakes.forget()
        assert len(recorded) == 1
    assert kept.getvalue() == ""


# --- what a run leaves behind --------------------------------------------------------


def _left(run: Callable[[], object], **options: int) -> list[str]:
    def once() -> None:
        run()

    found = left_behind(once, kinds=tuple(KINDS), rest=lambda _s: None, **options)
    return [str(item) for item, _ in found]


def test_what_every_run_leaves_behind_is_found_with_its_holder() -> None:
    ((item, owner),) = left_behind(lambda: KEPT.append(Order()), kinds=["objects"])
    assert (item.kind, item.name, item.number) == ("objects", f"{__name__}.Order", 1)
    assert owner is not None
    assert owner.path.startswith(f"{__name__}.KEPT")


def test_files_are_found_without_a_holder() -> None:
    found = left_behind(
        lambda: KEPT.append(Path(__file__).open("rb")),  # noqa: SIM115 - left behind
        kinds=["files"],
        runs=2,
    )
    try:
        assert [(item.kind, owner) for item, owner in found] == [("files", None)]
    finally:
        for file in KEPT:
            file.close()  # type: ignore[attr-defined]


def test_the_first_clean_run_is_the_last() -> None:
    runs: list[int] = []
    assert _left(lambda: runs.append(1)) == []
    assert len(runs) == 1


def test_what_some_runs_leave_is_a_pool_that_fills() -> None:
    assert _left(lambda: len(KEPT) < 3 and KEPT.append(Order())) == []


def test_what_needs_a_moment_to_go_is_given_it() -> None:
    times = iter(range(100))

    def rest(_seconds: float) -> None:
        KEPT.clear()

    found = left_behind(
        lambda: KEPT.append(Order()),
        kinds=["objects"],
        clock=lambda: next(times) * 0.01,
        rest=rest,
    )
    assert found == ()


def test_no_run_leaves_nothing() -> None:
    assert _left(lambda: KEPT.append(Order()), runs=0) == []
