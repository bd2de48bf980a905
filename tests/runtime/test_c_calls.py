"""Calls into C are told by what they take and do not give back."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.native import CallSite
from leakguard._core.records import Unknown
from leakguard._runtime import c_calls
from leakguard._runtime.c_calls import Balance, Kept, _Watch, watch_calls
from tests.core.builders import quick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

HERE, THERE = CallSite("here", ("a.py", 1)), CallSite("there", ("a.py", 2))
MONITORED = sys.version_info >= (3, 12)
#: Stands in for the C heap: its length is what is in use.
HEAP = bytearray()
SECOND = bytearray()


@pytest.fixture(autouse=True)
def _emptied() -> Iterator[None]:
    yield
    HEAP.clear()
    SECOND.clear()


def _watched(work: Callable[[], object], calls: int = 10) -> Kept:
    def run() -> int:
        for _ in range(calls):
            work()
        return calls

    found = watch_calls(run, heap=lambda: len(HEAP) + len(SECOND))
    assert isinstance(found, Kept), found
    return found


def _leak() -> None:
    SECOND.extend(bytes(33))
    HEAP.extend(bytes(100))
    SECOND.clear()


# --- what comes back -----------------------------------------------------------------


def test_what_comes_back_is_set_off_by_its_size() -> None:
    balance = Balance()
    for size, site in ((50, HERE), (100, THERE), (60, HERE)):
        balance.take(size, site)
    balance.give_back(50)
    assert balance.kept() == {THERE: 100, HERE: 60}


def test_blocks_of_one_place_come_back_together() -> None:
    balance = Balance()
    for size, site in ((30, HERE), (100, THERE), (20, HERE)):
        balance.take(size, site)
    balance.give_back(50)
    assert balance.kept() == {THERE: 100}


def test_what_fits_nothing_is_taken_from_the_newest() -> None:
    balance = Balance()
    balance.take(100, HERE)
    balance.take(30, THERE)
    balance.give_back(40)
    assert balance.kept() == {HERE: 90}
    balance.give_back(1_000)
    assert balance.kept() == {}


def test_it_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_calls, "_OPEN_BLOCKS", 2)
    balance = Balance()
    for _ in range(5):
        balance.take(1, HERE)
    assert balance.kept() == {HERE: 2}


@quick
@given(st.lists(st.integers(1, 9), max_size=20), st.randoms(use_true_random=False))
def test_what_is_given_back_whole_is_all_gone(sizes: list[int], random: object) -> None:
    balance = Balance()
    for size in sizes:
        balance.take(size, HERE if size % 2 else THERE)
    random.shuffle(sizes)  # type: ignore[attr-defined]
    for size in sizes:
        balance.give_back(size)
    assert sum(balance.kept().values()) == 0


# --- who took it ---------------------------------------------------------------------


def test_the_c_function_and_its_line_are_told() -> None:
    found = _watched(_leak)
    (site,) = [site for site, size in found.sizes.items() if size >= 500]
    assert site.function == "bytearray.extend"
    assert site.frame == (__file__, _leak.__code__.co_firstlineno + 2)
    assert found.sizes[site] == 1_000
    assert found.calls == 10
    assert found.stacks[site][0] == site.frame
    assert len(found.stacks[site]) > 1


def test_what_a_call_gives_back_itself_is_not_kept() -> None:
    def work() -> None:
        SECOND.extend(bytes(10))
        HEAP.extend(bytes(64))
        HEAP.clear()
        SECOND.clear()

    assert sum(_watched(work).sizes.values()) == 0


@pytest.mark.skipif(
    not MONITORED and sys.gettrace() is not None, reason="a debugger sees the lines"
)
def test_what_no_function_took_is_told_by_its_line() -> None:
    def work() -> None:
        HEAP[len(HEAP) :] = bytes(100)
        len(HEAP)

    found = _watched(work)
    best = max(found.sizes, key=lambda site: found.sizes[site])
    assert best == CallSite(None, (__file__, work.__code__.co_firstlineno + 1))


def test_a_call_that_raises_is_told_as_well() -> None:
    class Unlucky:
        def __index__(self) -> int:
            HEAP.extend(bytes(50))
            raise ValueError

    def work() -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - our own
            bytearray().pop(Unlucky())  # type: ignore[arg-type]

    sizes = _watched(work).sizes
    assert sum(size for site, size in sizes.items() if site.function) == 500


def test_other_threads_are_not_watched() -> None:
    def work() -> None:
        thread = threading.Thread(target=_leak)
        thread.start()
        thread.join()

    found = _watched(work, calls=1)
    assert not any(site.function == "bytearray.extend" for site in found.sizes)


def _frame(levels: int = 0) -> FrameType:
    """Return a frame of this file, with as many calls of this function below it."""
    return _frame(levels - 1) if levels else sys._getframe()


def test_memory_between_two_places_belongs_to_the_first() -> None:
    # Callbacks of a profiler are seen by no other tool: here they are called by hand.
    reads = iter([0, 10, 10, 10, 30, 30, 60, 60])
    watch = _Watch(lambda: next(reads))
    watch.passed(None)
    here = _frame()
    watch.passed(here)  # whatever came before the first place is nobody's
    assert watch.balance.kept() == {}
    watch.returned(here, len)
    inner = _frame(2)
    watch.passed(inner)
    kept = watch.balance.kept()
    place = CallSite(None, (__file__, here.f_lineno))
    assert kept == {place: 20}
    assert watch.stacks[place][0] == place.frame
    watch.returned(inner, len)
    called = CallSite("len", (__file__, inner.f_lineno))
    assert watch.balance.kept() == {place: 20, called: 30}


def test_memory_of_the_callers_line_belongs_to_it() -> None:
    reads = iter([0, 0, 7, 7])
    watch = _Watch(lambda: next(reads))
    caller = sys._getframe()
    line = caller.f_lineno + 1
    watch.passed(caller)
    inner = _frame()
    watch.passed(inner)
    (site,) = watch.balance.kept()
    assert site == CallSite(None, (__file__, line))
    assert watch.stacks[site][1:9] == c_calls._stack(caller)[1:9]


def test_what_our_own_lines_take_is_nobodys_and_what_comes_back_counts() -> None:
    reads = iter([100, 100, 150, 150, 120, 120])
    watch = _Watch(lambda: next(reads))
    own = compile("import sys; frame = sys._getframe()", c_calls.__file__, "exec")
    found: dict[str, FrameType] = {}
    exec(own, found)  # type: ignore[arg-type]
    watch.passed(found["frame"])
    watch.passed(sys._getframe())
    assert watch.balance.kept() == {}
    watch.balance.take(40, HERE)
    watch.passed(sys._getframe())
    assert watch.balance.kept() == {HERE: 10}


# --- no harm -------------------------------------------------------------------------


def _tools() -> object:
    if not MONITORED:
        return None
    monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    return [monitoring.get_tool(number) for number in range(6)]


def test_all_is_put_back_even_when_the_work_raises() -> None:
    before = sys.gettrace(), sys.getprofile(), _tools()

    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        watch_calls(fail)
    _watched(_leak)
    assert (sys.gettrace(), sys.getprofile(), _tools()) == before


def test_nothing_is_watched_beside_a_profiler() -> None:
    def profiler(*_: object) -> None:
        """Profile nothing."""

    def run() -> int:
        raise AssertionError

    sys.setprofile(profiler)
    try:
        found = watch_calls(run)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert found == Unknown("a profiler is set")


@pytest.mark.skipif(not MONITORED, reason="sys.monitoring is from 3.12 on")
def test_nothing_is_watched_beside_a_profiling_tool() -> None:
    monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    monitoring.use_tool_id(monitoring.PROFILER_ID, "another")
    try:
        found = watch_calls(lambda: 1, heap=lambda: 0)
        assert monitoring.get_tool(monitoring.PROFILER_ID) == "another"
    finally:
        monitoring.free_tool_id(monitoring.PROFILER_ID)
    assert found == Unknown("a profiler is set")


def test_nothing_is_watched_where_the_heap_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(c_calls, "heap_reader", lambda: None)
    found = watch_calls(lambda: 1)
    assert found == Unknown("the C heap cannot be read here")


def test_a_heap_that_fails_is_not_the_programs_trouble() -> None:
    answers = iter([0, 0, 0])
    done: list[int] = []

    def run() -> int:
        done.append(len(str(Path.cwd())))
        return 1

    found = watch_calls(run, heap=lambda: next(answers))
    assert isinstance(found, Kept)
    assert len(done) == 1
