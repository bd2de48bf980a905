"""Work is run again and again until it is clear whether, where and why it leaks."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import queue
import subprocess
import sys
import threading
import time
import tracemalloc
from array import array
from collections import deque
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psutil
import pytest

import leakguard
from leakguard._readers.source import SourceMap
from leakguard._runtime import diagnosis
from leakguard._runtime.diagnosis import diagnose_work
from leakguard._runtime.work import WorkFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard._core.conclusion import Conclusion
    from leakguard._core.records import Suspect

PACKAGE = str(Path(leakguard.__file__).parent)

STORE: dict[object, object] = {}
HISTORY: list[object] = []
TASKS: set[object] = set()
LAST: deque[object] = deque(maxlen=10_000)


class Order:
    __slots__ = ("__weakref__", "body", "user")

    def __init__(self, user: int) -> None:
        self.user = user
        self.body = bytearray(1000)


class Node:
    """A link of a chain, with a ``__dict__``."""

    def __init__(self, before: object) -> None:
        self.before = before


class Head:
    last: object = None

    def push(self) -> None:
        self.last = Node(self.last)


HEAD = Head()


@pytest.fixture(autouse=True)
def _emptied() -> Iterator[None]:
    yield
    STORE.clear()
    HISTORY.clear()
    TASKS.clear()
    LAST.clear()
    HEAD.last = None


def _diagnose(
    work: Callable[..., object],
    calls: int | None = 300,
    *,
    nframe: int | None = None,
    seconds: float = 20.0,
    **options: Callable[..., object],
) -> Conclusion:
    return diagnose_work(
        work,  # type: ignore[arg-type]
        SourceMap(str(Path(__file__).parent)),
        calls=calls,
        nframe=nframe,
        seconds=seconds,
        **options,  # type: ignore[arg-type]
    ).found


def _suspect(found: Conclusion) -> Suspect:
    assert found.verdict.kind == "leak", found.verdict
    return found.suspects[0]


def _remember(number: int) -> None:
    STORE[number] = Order(number)


def _nothing() -> None:
    return None


# --- verdicts ------------------------------------------------------------------------


def test_a_dict_that_grows_is_named_with_line_owner_and_rate() -> None:
    found = _diagnose(_remember)
    suspect = _suspect(found)
    assert suspect.site is not None
    assert suspect.owner is not None
    assert suspect.site.file == __file__
    assert suspect.site.function in {"_remember", "Order.__init__"}
    assert suspect.site.in_app
    assert suspect.owner.path == f"{__name__}.STORE"
    assert suspect.owner.links[-1].status == "leaking"
    assert suspect.pattern == "unbounded-cache"
    # A bytearray, its buffer, the session, the number and the entry in the table.
    per_call = 1001 + sum(map(sys.getsizeof, (bytearray(), Order(1), 9))) + 16 + 50
    assert suspect.growth_bytes_per_call == pytest.approx(per_call, rel=0.2)
    assert found.verdict.growth_bytes_per_call == pytest.approx(per_call, rel=0.2)


@pytest.mark.slow
def test_a_leak_is_found_when_nobody_says_how_many_calls() -> None:
    found = _diagnose(_remember, calls=None, seconds=3.0)
    assert _suspect(found).owner is not None
    assert found.verdict.growth_bytes_per_second is not None


def test_work_that_keeps_nothing_is_steady() -> None:
    found = _diagnose(lambda: [bytearray(500) for _ in range(50)])
    assert found.verdict.kind == "steady"
    assert found.verdict.growth_bytes_per_call == 0.0
    assert found.suspects == ()


@pytest.mark.slow
def test_quiet_work_is_believed_before_the_time_is_up() -> None:
    looks: list[str] = []
    found = _diagnose(_nothing, calls=None, seconds=30.0, progress=looks.append)
    assert found.verdict.kind == "steady"
    assert not any("line" in text for text in looks)


def test_few_calls_decide_nothing_and_say_how_many_would() -> None:
    found = _diagnose(_nothing, calls=5)
    assert found.verdict.kind == "unknown"
    assert "64 calls would decide it" in found.verdict.reason


def test_a_deque_that_fills_is_acquitted_by_its_bound() -> None:
    found = _diagnose(lambda number: LAST.append(Order(number)))
    assert found.verdict.kind == "cache"
    (acquittal,) = found.acquitted
    assert acquittal.owner_path == f"{__name__}.LAST"
    assert "of 10000 entries (deque maxlen)" in acquittal.reason


@pytest.mark.parametrize("before", [0, 5_000])
def test_an_acquittal_tells_where_the_growth_will_end(before: int) -> None:
    LAST.extend(range(before))
    found = _diagnose(lambda number: LAST.append(Order(number)))
    (acquittal,) = found.acquitted
    per_entry = 1001 + sum(map(sys.getsizeof, (bytearray(), Order(1), 9))) + 16
    assert acquittal.plateau_bytes == pytest.approx(per_entry * 10_000, rel=0.1)


def test_an_lru_cache_that_fills_is_acquitted_by_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached = functools.lru_cache(maxsize=10_000)(Order)
    monkeypatch.setattr(sys.modules[__name__], "CACHED", cached, raising=False)
    found = _diagnose(lambda number: cached(number) and None)
    assert found.verdict.kind == "cache"
    assert found.acquitted[0].owner_path == f"{__name__}.CACHED"
    assert "(lru_cache maxsize)" in found.acquitted[0].reason


def test_an_lru_cache_of_lists_is_acquitted_by_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached = functools.lru_cache(maxsize=10_000)(lambda number: [number] * 20)
    monkeypatch.setattr(sys.modules[__name__], "CACHED", cached, raising=False)
    found = _diagnose(lambda number: cached(number) and None, calls=400)
    assert found.verdict.kind == "cache", found.verdict


def test_a_warm_up_is_no_leak() -> None:
    found = _diagnose(lambda number: STORE.setdefault(number % 20, Order(number)))
    assert found.verdict.kind in {"steady", "cache"}
    assert found.suspects == ()


def test_a_chain_that_hangs_on_an_attribute_is_named() -> None:
    suspect = _suspect(_diagnose(HEAD.push))
    assert suspect.site is not None
    assert suspect.site.function in {"Head.push", "Node.__init__"}
    if sys.version_info[:2] == (3, 11):
        pytest.xfail("Python 3.11 does not say where objects with a dict are allocated")
    assert suspect.owner is not None
    assert suspect.owner.path == f"{__name__}.HEAD.last"


def test_tasks_that_never_end_are_named() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        TASKS.add(asyncio.ensure_future(waits()))
        await asyncio.sleep(0)

    suspect = _suspect(_diagnose(work, calls=40))
    assert suspect.owner is not None
    assert suspect.owner.path == f"{__name__}.TASKS"
    assert suspect.pattern == "task"
    assert all(task.cancelled() for task in TASKS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["function", "object", "plain function"])
def test_async_work_is_run_in_one_loop(kind: str) -> None:
    loops: set[int] = set()

    async def function() -> None:
        await asyncio.sleep(0)
        loops.add(id(asyncio.get_running_loop()))

    class Callable_:  # noqa: N801 - beside the type of this name
        async def __call__(self) -> None:
            await function()

    kinds = {
        "function": function,
        "object": Callable_(),
        "plain function": lambda: function(),  # noqa: PLW0108 - it is no coroutine function
    }
    assert _diagnose(kinds[kind], calls=20).verdict.kind in {"steady", "unknown"}
    assert len(loops) == 1


def test_cycles_that_nobody_collects_are_named_as_such() -> None:
    def work() -> None:
        first = Node(None)
        first.before = Node(first)

    gc.disable()
    try:
        suspect = _suspect(_diagnose(work))
    finally:
        gc.enable()
    assert suspect.pattern == "cycle"
    assert suspect.site is not None
    work_name = work.__qualname__.replace("<locals>.", "")
    assert suspect.site.function in {work_name, "Node.__init__"}
    assert "gc.enable()" in suspect.hint


def test_cycles_that_nobody_collects_are_named_by_their_type() -> None:
    def work() -> None:
        ring = Order(1)
        ring.body = ring  # type: ignore[assignment]

    gc.disable()
    try:
        suspect = _suspect(_diagnose(work))
    finally:
        gc.enable()
    assert suspect.type == f"{__name__}.Order"


def test_cycles_that_the_collector_frees_are_no_leak() -> None:
    def work() -> None:
        first = Node(None)
        first.before = Node(first)

    assert _diagnose(work).verdict.kind == "steady"


def _c_library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    return library


@pytest.mark.skipif(not hasattr(psutil, "heap_info"), reason="no heap_info here")
def test_memory_that_native_code_keeps_is_told_from_pythons() -> None:
    library, pointers = _c_library(), array("Q", bytes(8 * 1000))

    def work(number: int) -> None:
        pointers[number] = library.malloc(20_000)

    try:
        found = _diagnose(work)
    finally:
        for pointer in filter(None, pointers):
            library.free(pointer)
    assert found.verdict.kind == "native-leak"
    assert found.verdict.growth_bytes_per_call == pytest.approx(20_000, rel=0.2)
    (suspect,) = found.suspects
    assert suspect.pattern == "native"
    if sys.version_info >= (3, 12) or sys.gettrace() is None:
        assert suspect.type is not None
        assert "malloc" in suspect.type
        assert suspect.site is not None
        assert suspect.site.file == __file__
        assert suspect.habit == "native-call"


@pytest.mark.skipif(not hasattr(psutil, "heap_info"), reason="no heap_info here")
def test_beside_a_profiler_a_native_leak_has_no_name() -> None:
    library, pointers = _c_library(), array("Q", bytes(8 * 1000))

    def profiler(*_: object) -> None:
        """Profile nothing."""

    def work(number: int) -> None:
        pointers[number] = library.malloc(20_000)

    sys.setprofile(profiler)
    try:
        found = _diagnose(work)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
        for pointer in filter(None, pointers):
            library.free(pointer)
    (suspect,) = found.suspects
    assert (suspect.habit, suspect.type) == ("native", None)


def test_frames_of_ours_are_in_no_stack() -> None:
    found = _diagnose(_remember)
    lines = [line for suspect in found.suspects for line in suspect.stack]
    assert any(line.startswith(__file__) for line in lines)
    assert not any(line.startswith(PACKAGE) for line in lines)


def test_stacks_reach_as_deep_as_asked() -> None:
    def deep(levels: int, number: int) -> None:
        if levels:
            deep(levels - 1, number)
        else:
            _remember(number)

    shallow = _suspect(_diagnose(lambda number: deep(5, number), nframe=2))
    assert len(shallow.stack) <= 2
    full = _suspect(_diagnose(lambda number: deep(5, number)))
    assert len([line for line in full.stack if line.endswith("deep")]) == 6


def test_lazy_objects_are_looked_at_and_never_asked() -> None:
    asked: list[str] = []

    def ask(*_: object) -> NoReturn:
        asked.append("something")
        raise AssertionError

    class Lazy:
        __slots__ = ("target",)
        __class__ = property(ask)  # type: ignore[assignment]
        __getattribute__ = __getattr__ = ask  # type: ignore[assignment]
        __len__ = __iter__ = __bool__ = __eq__ = __hash__ = __repr__ = ask  # type: ignore[assignment]

    suspect = _suspect(_diagnose(lambda: HISTORY.append(Lazy())))
    assert suspect.owner is not None
    assert suspect.owner.path == f"{__name__}.HISTORY"
    assert asked == []


# What follows could spoil other tests, so it has a process of its own.
UNHASHABLE = """
import leakguard

class Comparing(type):
    def __eq__(cls, other):
        return cls is other

class Row(metaclass=Comparing):
    pass

row, kept = Row(), []
print(leakguard.diagnose(lambda: kept.append(bytearray(99)), calls=50).verdict.kind)
"""
INSIDE_A_LOOP = """
import asyncio, leakguard

async def work():
    await asyncio.sleep(0)

async def main():
    try:
        leakguard.diagnose(work, calls=5)
    except leakguard.LeakguardError as error:
        print(type(error).__name__)

asyncio.run(main())
"""


def _printed(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(PACKAGE).parent,
    )
    return done.stdout + done.stderr


def test_classes_without_a_hash_do_no_harm() -> None:
    assert _printed(UNHASHABLE) == "leak\n"


def test_async_work_inside_a_running_loop_fails_in_words() -> None:
    assert _printed(INSIDE_A_LOOP) == "WorkFailed\n"


# --- how often it is called and looked at --------------------------------------------


def test_the_number_of_calls_is_respected() -> None:
    found = _diagnose(_nothing, calls=100)
    assert "98 calls" in found.verdict.reason  # after 2 to warm up


def test_no_call_is_made_beyond_the_number_asked_for() -> None:
    _diagnose(lambda number: HISTORY.append(Order(number)), calls=100)
    assert len(HISTORY) == 100


def test_looks_are_taken_at_growing_numbers_of_calls() -> None:
    lines: list[str] = []
    _diagnose(_nothing, calls=200, progress=lines.append)
    looks = [int(line.split()[0]) for line in lines]
    assert looks == sorted(set(looks))
    assert looks[0] == 1
    assert looks[-1] < 200
    assert len(looks) < 25


def test_progress_tells_of_lines_that_grow_and_of_the_search() -> None:
    lines: list[str] = []
    _diagnose(_remember, progress=lines.append)
    assert lines[-1] == "looking at who holds it"
    assert any("growing" in line for line in lines)


def test_the_clock_ends_the_diagnosis() -> None:
    # Each reading takes a hundredth of a second, so each call and each look take some.
    ticks = count()
    found = diagnose_work(
        lambda: HISTORY.append(1),
        SourceMap(),
        calls=None,
        nframe=None,
        seconds=2.0,
        clock=lambda: next(ticks) / 100,
    )
    assert found.cost.seconds < 4.0
    assert 16 < len(HISTORY) < 400
    assert found.cost.windows > 3
    assert found.cost.longest_pause_seconds == pytest.approx(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="files are not counted elsewhere")
def test_files_that_stay_open_are_named_before_they_run_out(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "open"
    path.touch()
    files: list[object] = [None] * 10
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 200, hard))
    try:
        found = _diagnose(lambda: files.append(path.open()), calls=None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for file in files[10:]:
            file.close()  # type: ignore[attr-defined]
    assert found.verdict.kind == "leak"
    assert found.suspects[0].habit == "unclosed-file"


def test_a_system_without_such_a_limit_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert diagnosis._more_files() is None


def test_what_another_thread_keeps_later_is_named() -> None:
    jobs: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def work_off() -> None:
        was_late = False
        while (job := jobs.get()) is not None:
            at_depth = (
                tracemalloc.is_tracing() and tracemalloc.get_traceback_limit() > 1
            )
            if at_depth and not was_late:
                was_late = True
                time.sleep(0.1)  # until all calls at depth have been made
            STORE[job] = [f"order {job}"]

    thread = threading.Thread(target=work_off)
    thread.start()
    try:
        numbers = count()
        found = _diagnose(lambda: (jobs.put(next(numbers)), time.sleep(0.0002)))
    finally:
        jobs.put(None)
        thread.join()
    assert found.verdict.kind == "leak"
    assert found.suspects[0].owner is not None
    assert found.suspects[0].owner.path.endswith(".STORE")


def test_growth_stops_the_looks_before_the_machine_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnosis, "MOST_GROWN_BYTES", 200_000)
    suspect = _suspect(_diagnose(_remember, calls=None))
    assert suspect.owner is not None
    assert len(STORE) < 1_500


def test_a_machine_that_hides_its_memory_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnosis, "available_bytes", lambda: None)
    assert _diagnose(_nothing, calls=20).verdict.kind == "steady"


def test_memory_given_back_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = diagnosis.read_counters()
    sizes = iter([5_000_000, 3_000_000])

    def shrinking() -> object:
        return type(counters)(next(sizes), None, 1, 1, None)

    monkeypatch.setattr(diagnosis, "read_counters", shrinking)
    monkeypatch.setattr(diagnosis, "trim_heap", lambda: True)
    assert diagnosis._trimmed_bytes() == 2_000_000
    sizes = iter([5_000_000, None])  # type: ignore[list-item]
    assert diagnosis._trimmed_bytes() is None
    monkeypatch.setattr(diagnosis, "trim_heap", lambda: False)
    sizes = iter([5_000_000])
    assert diagnosis._trimmed_bytes() is None
    sizes = iter([None])  # type: ignore[list-item]
    assert diagnosis._trimmed_bytes() is None


# --- everything is left as it was found ----------------------------------------------


@pytest.mark.parametrize("failing", [0, 1, 2, 7, 299])
def test_work_that_fails_says_in_which_call_and_why(failing: int) -> None:
    def work(number: int) -> None:
        if number == failing:
            raise KeyError("a user's secret")

    with pytest.raises(WorkFailed) as caught:
        _diagnose(work)
    assert caught.value.call == failing
    assert isinstance(caught.value.__cause__, KeyError)
    assert str(caught.value) == f"the work failed in call {failing}: KeyError"


def test_work_that_fails_at_depth_says_so_too() -> None:
    def work(number: int) -> None:
        HISTORY.append(Order(number))
        if any(frame_depth() > 1 for _ in [0]):
            raise OSError

    def frame_depth() -> int:
        return tracemalloc.get_traceback_limit() if tracemalloc.is_tracing() else 0

    with pytest.raises(WorkFailed) as caught:
        _diagnose(work)
    assert caught.value.call >= 200
    assert not tracemalloc.is_tracing()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("failing", [0, 10])
def test_an_interruption_passes_through(
    error: type[BaseException], failing: int
) -> None:
    before = gc.get_freeze_count()

    def work(number: int) -> None:
        if number == failing:
            raise error

    with pytest.raises(error):
        _diagnose(work)
    assert not tracemalloc.is_tracing()
    assert gc.get_freeze_count() <= before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failing_async_work_leaves_no_loop_and_no_task_behind(
    error: type[BaseException],
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def numbers() -> None:
        try:
            yield 1
        finally:
            ended.append("closed")

    async def work(number: int) -> None:
        loops.append(asyncio.get_running_loop())
        TASKS.add(asyncio.ensure_future(waits()))
        await asyncio.sleep(0)
        generator = numbers()
        HISTORY.append(generator)
        await generator.__anext__()  # type: ignore[attr-defined]
        if number == 5:
            raise error

    with pytest.raises(WorkFailed if error is ValueError else error):
        _diagnose(work)
    assert loops[0].is_closed()
    assert sorted(ended) == ["cancelled"] * 6 + ["closed"] * 6
    assert threading.active_count() == 1 or threading.current_thread().is_alive()


def test_the_users_tracing_is_used_and_left_running() -> None:
    tracemalloc.start(3)
    try:
        kept = bytearray(5_000)
        suspect = _suspect(_diagnose(_remember))
        assert tracemalloc.is_tracing()
        assert tracemalloc.get_traceback_limit() == 3
        assert tracemalloc.get_object_traceback(kept) is not None
    finally:
        tracemalloc.stop()
    assert suspect.owner is not None
    assert suspect.owner.path == f"{__name__}.STORE"


def test_the_users_tracing_survives_work_that_fails() -> None:
    tracemalloc.start(3)
    try:
        with pytest.raises(WorkFailed):
            _diagnose(lambda: 1 / 0)
        assert tracemalloc.get_traceback_limit() == 3
    finally:
        tracemalloc.stop()


def test_a_heap_the_application_froze_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    try:
        suspect = _suspect(_diagnose(_remember))
        assert gc.get_freeze_count() == pytest.approx(frozen, rel=0.01)
    finally:
        gc.unfreeze()
    # The collector shows nothing of a frozen heap, so nobody is seen to hold it.
    assert suspect.site is not None
    assert suspect.site.file == __file__


def test_a_heap_that_was_not_frozen_is_not_frozen_afterwards() -> None:
    before = gc.get_freeze_count()
    _diagnose(_remember)
    assert gc.get_freeze_count() <= before


def test_threads_start_as_before() -> None:
    start = threading.Thread.start
    _diagnose(_nothing, calls=20)
    assert threading.Thread.start is start


def test_an_error_of_the_progress_reaches_the_caller_and_all_is_put_back() -> None:
    def progress(_text: str) -> NoReturn:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - it has no message
        _diagnose(_nothing, progress=progress)
    assert not tracemalloc.is_tracing()


def test_threads_of_the_work_do_no_harm() -> None:
    def work(number: int) -> None:
        thread = threading.Thread(target=_remember, args=(number,))
        thread.start()
        thread.join()

    suspect = _suspect(_diagnose(work, calls=60))
    assert suspect.owner is not None
    assert suspect.owner.path == f"{__name__}.STORE"
