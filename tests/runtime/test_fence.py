"""Toggling behind the fence: when it waits, when it refuses, what it restores."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from leakguard._core.records import Unknown
from leakguard._readers import threads
from leakguard._readers.threads import Host, Sight, native
from leakguard._runtime import fence
from leakguard._runtime.fence import Fence, start_tracing, stop_tracing, toggle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

ROOT = Path(__file__).parents[2]
ORIGINAL = threading.Thread.start
ALONE = Sight(0, frozenset({1}), frozenset({1}), frozenset())


def crowd(count: int = 2, *strangers: int, visitors: frozenset[int] = frozenset()):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Return the sight of ``count`` threads beside the main one."""
    known = frozenset(range(1, count + 2))
    return Sight(count, known | frozenset(strangers), known, visitors)


class FakeHost(Host):
    """A process in which time passes only while somebody sleeps.

    Each sight is shown once, the last one for ever.
    """

    def __init__(self, *sights: Sight) -> None:
        super().__init__()
        self.now = 100.0
        self.script = list(sights)
        self.shown = sights[0]
        self.clock = lambda: self.now
        self.sleep = self.pass_time
        self.count = lambda: self.shown.count
        self.frames: Callable[[], dict[int, FrameType]] = dict
        self.meanwhile: Callable[[], object] = bool
        self.asleep = True

    def sight(self) -> Sight:
        self.shown = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return self.shown

    def unsupported(self) -> str | None:
        return None

    def is_asleep(self, kernel_thread: int) -> bool:
        del kernel_thread
        return self.asleep

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()

    @property
    def slept(self) -> float:
        return self.now - 100.0


class Action:
    """Counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1


@pytest.fixture
def action() -> Action:
    fence._GATE.seen_since.clear()
    fence._GATE.seen_alive = frozenset()
    return Action()


def _refusal(host: Host, action: Callable[[], None]) -> str:
    guard = Fence(host=host)
    assert not guard.toggle(action)
    assert isinstance(guard.refusal, Unknown)
    return guard.refusal.reason


# When it is quiet


def test_alone_in_the_process_it_toggles_at_once(action: Action) -> None:
    host = FakeHost(ALONE)
    guard = Fence(host=host)
    assert guard.toggle(action)
    assert (action.runs, host.slept, guard.refusal) == (1, 0.0, None)


def test_beside_threads_it_waits_for_the_quiet_time(action: Action) -> None:
    host = FakeHost(crowd())
    assert Fence(host=host, quiet_seconds=0.01).toggle(action)
    assert action.runs == 1
    assert 0.01 <= host.slept < 0.012


def test_a_thread_that_ends_starts_the_quiet_time_anew(action: Action) -> None:
    early = [crowd(3)] * 4 + [crowd(2)] * 4
    host = FakeHost(*early, crowd(1))
    assert Fence(host=host).toggle(action)
    assert host.slept >= 7 * fence.POLL_SECONDS + fence.QUIET_SECONDS


def test_a_kernel_thread_without_an_owner_may_be_dying(action: Action) -> None:
    host = FakeHost(*[crowd(2, 99)] * 12, crowd(2))
    assert Fence(host=host).toggle(action)
    assert 11 * fence.POLL_SECONDS <= host.slept < fence.SETTLE_SECONDS


def test_a_kernel_thread_that_never_sleeps_may_be_starved(action: Action) -> None:
    host = FakeHost(crowd(2, 99))
    host.asleep = False
    assert _refusal(host, action) == "a thread is ending"
    host.meanwhile = lambda: host.slept > 1.9 and setattr(host, "asleep", True)
    assert Fence(host=host, timeout_seconds=9).toggle(action)
    assert host.slept > 1.9


def test_a_kernel_thread_that_was_seen_alive_is_dying(action: Action) -> None:
    host = FakeHost(crowd(2, 99))
    fence._GATE.seen_alive = frozenset({99})
    assert _refusal(host, action) == "a thread is ending"
    assert Fence(host=host, timeout_seconds=9).toggle(action), "but not for ever"
    assert host.slept >= fence.STARVED_SECONDS


def test_a_kernel_thread_that_lives_on_is_not_dying(action: Action) -> None:
    host = FakeHost(crowd(2, 99))
    assert Fence(host=host).toggle(action)
    assert fence.SETTLE_SECONDS <= host.slept < 2 * fence.SETTLE_SECONDS
    again = FakeHost(crowd(2, 99))
    again.now = host.now
    assert Fence(host=again).toggle(action), "and is known the next time"
    assert again.now - host.now < fence.SETTLE_SECONDS


# When it is not


def test_without_a_quiet_moment_it_is_refused_in_time(action: Action) -> None:
    host = FakeHost(crowd(3))
    host.meanwhile = lambda: host.script.insert(0, crowd(3, round(host.now * 1e6)))
    assert _refusal(host, action) == "a thread is ending"
    assert action.runs == 0
    assert host.slept <= fence.TIMEOUT_SECONDS + fence.POLL_SECONDS


def test_threads_without_threading_cancel_it_at_once(action: Action) -> None:
    host = FakeHost(crowd(2), crowd(2), crowd(3))
    assert "without threading.Thread" in _refusal(host, action)
    assert action.runs == 0
    assert host.slept < fence.QUIET_SECONDS


def test_foreign_threads_that_visit_python_keep_it_waiting(action: Action) -> None:
    away, here = crowd(), crowd(visitors=frozenset({7}))
    host = FakeHost(*[away, away, here, here] * 200)
    assert _refusal(host, action) == "threads keep coming and going"


def test_a_thread_gone_after_the_last_look_keeps_it_waiting(action: Action) -> None:
    host = FakeHost(crowd())
    host.count = lambda: 1
    assert _refusal(host, action) == "threads keep running"
    assert action.runs == 0


def test_no_time_is_a_refusal(action: Action) -> None:
    guard = Fence(host=FakeHost(crowd()), timeout_seconds=0)
    assert not guard.toggle(action)
    assert guard.refusal == Unknown("it was given no time")


def test_a_refusal_is_forgotten_by_the_next_toggle(action: Action) -> None:
    guard = Fence(host=FakeHost(ALONE), timeout_seconds=0)
    assert not guard.toggle(action)
    guard._timeout_seconds = 1
    assert guard.toggle(action)
    assert guard.refusal is None


# Calls that allocate without the GIL


def _working() -> Any:  # noqa: ANN401 - typeshed hides a generator's frame
    yield
    (yield), os.getcwd
    yield


def _at(line: int) -> Any:  # noqa: ANN401 - as above
    frames = _working()
    for _ in range(line):
        next(frames)
    return frames


def test_a_thread_inside_such_a_call_keeps_it_waiting(action: Action) -> None:
    host, worker = FakeHost(crowd()), _at(2)
    host.frames = lambda: {7: worker.gi_frame}
    reason = "a thread is in getcwd(), which may allocate without the GIL"
    assert _refusal(host, action) == reason
    assert action.runs == 0


@pytest.mark.parametrize("line", [1, 3])
def test_such_a_call_on_another_line_does_not_matter(line: int, action: Action) -> None:
    host, worker = FakeHost(crowd()), _at(line)
    host.frames = lambda: {7: worker.gi_frame}
    assert Fence(host=host).toggle(action)


@pytest.mark.parametrize(
    "call",
    [
        "zlib.decompress(data)",
        "zlib.decompress(\n data,\n wbits=1,\n)",
        "(\n zlib\n .decompress(\n data\n)\n)",
        "decompress(\n data\n)",
        "decompress(\n *[data],\n **{}\n)",
        "print(\n 1,\n zlib.decompress(data),\n file=file)",
        "list(map(zlib.decompress, [data]))",
    ],
)
def test_such_a_call_is_seen_however_it_is_written(call: str) -> None:
    seen = []

    def decompress(*_: object, **__: object) -> None:
        frame = sys._getframe(1)
        seen.append(threads.allocating_call(frame.f_code, frame.f_lasti, {}))

    zlib = SimpleNamespace(decompress=decompress)
    names = {"zlib": zlib, "decompress": decompress, "file": io.StringIO()}
    exec(f"data = 1\n{call}\n", names)
    assert seen == ["decompress"]


def test_a_c_function_in_an_executor_may_be_such_a_call() -> None:
    gate = threading.Lock()
    with gate, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gate.acquire)
        while not waiting.running():
            os.sched_yield()
        (worker,) = pool._threads
        found, memo = None, {}  # type: ignore[var-annotated]
        while found is None:
            frame = sys._current_frames()[worker.ident or 0]
            found = threads.allocating_call(frame.f_code, frame.f_lasti, memo)
        assert found == "run"
        gate.release()
        assert waiting.result()


def test_it_toggles_when_the_call_is_over(action: Action) -> None:
    host, worker = FakeHost(crowd()), _at(2)
    host.frames = lambda: {7: worker.gi_frame}
    host.meanwhile = lambda: host.slept > 0.01 and next(worker, None)
    assert Fence(host=host).toggle(action)
    assert 0.01 < host.slept < 0.015


def test_a_thread_that_moves_on_after_it_was_judged_keeps_it_waiting(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, worker = FakeHost(crowd()), _at(1)
    host.frames = lambda: {7: worker.gi_frame}
    judge = threads.allocating_call

    def judge_and_switch(code: CodeType, at: int, memo: threads.Memo) -> str | None:
        found = judge(code, at, memo)
        next(worker)
        return found

    monkeypatch.setattr(fence, "allocating_call", judge_and_switch)
    guard = Fence(host=host, quiet_seconds=0, timeout_seconds=fence.POLL_SECONDS)
    assert not guard.toggle(action)
    assert guard.refusal == Unknown("threads keep running")
    assert action.runs == 0


def test_a_thread_is_judged_by_the_place_it_is_found_at_in_the_end(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes round a loop: elsewhere while it is judged, back in the call after."""
    host, frame = FakeHost(crowd()), SimpleNamespace(f_code=_working.__code__)
    inside, outside = _at(2).gi_frame.f_lasti, _at(1).gi_frame.f_lasti
    judge = threads.allocating_call

    def judge_elsewhere(code: CodeType, at: int, memo: threads.Memo) -> str | None:
        frame.f_lasti = outside
        found = judge(code, at, memo)
        frame.f_lasti = inside
        return found

    frame.f_lasti = inside
    host.frames = lambda: {7: frame}  # type: ignore[dict-item]
    monkeypatch.setattr(fence, "allocating_call", judge_elsewhere)
    assert "in getcwd()" in _refusal(host, action)
    assert action.runs == 0


def test_a_new_thread_after_they_were_judged_keeps_it_waiting(action: Action) -> None:
    host, worker = FakeHost(crowd()), _at(1)
    shown = iter(range(10_000))
    host.frames = lambda: {next(shown): worker.gi_frame}
    assert _refusal(host, action) == "threads keep running"


# Holding Thread.start


def test_thread_start_is_restored_exactly(action: Action) -> None:
    outer, inner = Fence(host=FakeHost(ALONE)), Fence(host=FakeHost(ALONE))
    with outer:
        gated = threading.Thread.start
        assert gated is not ORIGINAL
        with inner, outer:
            assert inner.toggle(action)
            assert threading.Thread.start is gated
        assert threading.Thread.start is gated
    assert threading.Thread.start is ORIGINAL


def test_the_gated_start_is_the_start_to_its_callers() -> None:
    ran = threading.Event()
    with Fence():
        thread = threading.Thread(target=ran.set)
        thread.start()
        with pytest.raises(RuntimeError, match="once"):
            thread.start()
        assert threading.Thread.start.__doc__ == ORIGINAL.__doc__
    thread.join()
    assert ran.is_set()
    assert not fence._GATE.flights


@pytest.fixture
def patched_over() -> Iterator[SimpleNamespace]:
    """Patch ``Thread.start`` while the fence is up, as a tracer would."""
    with Fence():
        gated = threading.Thread.start

        @wraps(gated)
        def theirs(self: threading.Thread) -> None:
            gated(self)

        threading.Thread.start = theirs  # type: ignore[method-assign]
    yield SimpleNamespace(gated=gated, theirs=theirs)
    threading.Thread.start = ORIGINAL  # type: ignore[method-assign]


def test_a_patch_on_top_of_ours_stays(patched_over: SimpleNamespace) -> None:
    assert threading.Thread.start is patched_over.theirs, "not clobbered"
    with Fence(host=FakeHost(ALONE)) as again:
        assert threading.Thread.start is not patched_over.theirs
        assert again.toggle(Action())
    assert threading.Thread.start is patched_over.theirs


def test_our_wrapper_below_a_patch_lets_everything_through(
    patched_over: SimpleNamespace, held: Callable[[float], SimpleNamespace]
) -> None:
    thread = threading.Thread(target=bool)
    thread.start()
    thread.join()
    with Fence():
        world = held(60.0)
        thread = threading.Thread(target=bool)
        thread.start()
        thread.join()
    assert threading.Thread.start is patched_over.theirs
    assert world.now < 1.5 * fence.PATIENCE_SECONDS, "and does not wait once more"


def test_an_old_wrapper_that_comes_back_is_seen_through(
    patched_over: SimpleNamespace,
) -> None:
    threading.Thread.start = patched_over.gated  # they take their patch away
    with Fence():
        assert threading.Thread.start is not patched_over.gated
    assert threading.Thread.start is ORIGINAL


def test_a_start_is_held_until_the_toggle_is_done(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, go, order = threading.Event(), threading.Event(), list[str]()
    nap = fence._sleep

    def start_another() -> None:
        go.wait()
        child = threading.Thread(target=order.append, args=("start",))
        child.start()
        child.join()

    def note_and_nap(seconds: float) -> None:
        held.set()
        nap(seconds)

    monkeypatch.setattr(fence, "_sleep", note_and_nap)
    starter = threading.Thread(target=start_another)
    starter.start()
    host = FakeHost(crowd())
    host.meanwhile = lambda: go.set() or held.wait()
    assert Fence(host=host).toggle(lambda: order.append("toggle"))
    starter.join()
    assert order == ["toggle", "start"]
    assert action.runs == 0


def test_a_start_under_way_keeps_the_toggle_waiting(action: Action) -> None:
    host = FakeHost(crowd())
    fence._GATE.flights.add(-1)
    host.meanwhile = lambda: host.slept > 0.01 and fence._GATE.flights.discard(-1)
    assert Fence(host=host).toggle(action)
    assert 0.01 < host.slept < 0.015


def test_a_start_that_never_ends_refuses_the_toggle(action: Action) -> None:
    fence._GATE.flights.add(-1)
    try:
        assert _refusal(FakeHost(crowd()), action) == "a thread is being started"
    finally:
        fence._GATE.flights.discard(-1)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], SimpleNamespace]:
    """Let a toggle of some other thread hold all starts, on a clock of our own."""
    world = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        world.now += seconds

    def hold(seconds: float) -> SimpleNamespace:
        monkeypatch.setitem(fence._GATE.holds, "toggle", fence._Hold(-1, seconds))
        return world

    monkeypatch.setattr(fence, "_clock", lambda: world.now)
    monkeypatch.setattr(fence, "_sleep", sleep)
    return hold


@pytest.mark.parametrize(
    ("held_seconds", "waited_seconds"),
    [(60.0, fence.PATIENCE_SECONDS), (0.1, 0.1), (0.0, 0.0)],
)
def test_no_start_is_held_longer_than_its_bound(
    held: Callable[[float], SimpleNamespace],
    held_seconds: float,
    waited_seconds: float,
) -> None:
    with Fence():
        world = held(held_seconds)
        thread = threading.Thread(target=bool)
        thread.start()
        thread.join()
    assert world.now == pytest.approx(waited_seconds, abs=2 * fence.POLL_SECONDS)


def test_a_second_thread_waits_for_the_first_ones_toggle(
    held: Callable[[float], SimpleNamespace], action: Action
) -> None:
    held(60.0)
    assert _refusal(FakeHost(crowd()), action) == "another thread is toggling"
    assert action.runs == 0


def test_a_hold_whose_owner_vanished_runs_out(
    held: Callable[[float], SimpleNamespace], action: Action
) -> None:
    held(0.0)
    assert Fence(host=FakeHost(crowd())).toggle(action)


# The toggling thread itself


def test_the_action_may_start_threads(action: Action) -> None:
    def start_one() -> None:
        thread = threading.Thread(target=action)
        thread.start()
        thread.join()

    assert Fence(host=FakeHost(crowd())).toggle(start_one)
    assert action.runs == 1


def test_a_toggle_within_a_toggle_is_refused(action: Action) -> None:
    inner = Fence(host=FakeHost(crowd()))
    assert Fence(host=FakeHost(crowd())).toggle(lambda: inner.toggle(action) or None)
    assert inner.refusal == Unknown("a toggle of this very thread is under way")
    assert action.runs == 0
    assert not fence._GATE.holds


def test_what_the_action_raises_comes_through_and_all_is_restored() -> None:
    def fail() -> NoReturn:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        Fence(host=FakeHost(crowd())).toggle(fail)
    assert not fence._GATE.holds


def test_an_interrupt_while_it_waits_lets_the_threads_go(action: Action) -> None:
    def interrupt() -> NoReturn:
        raise KeyboardInterrupt

    host = FakeHost(crowd())
    host.meanwhile = interrupt
    with pytest.raises(KeyboardInterrupt):
        Fence(host=host).toggle(action)
    assert not fence._GATE.holds
    assert not fence._GATE.users


def test_an_interrupt_while_entering_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(_original: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(fence._GATE, "_gated", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Fence().__enter__()
    assert not fence._GATE.users


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_is(*, enabled: bool, action: Action) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        assert Fence(host=FakeHost(crowd())).toggle(action)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()


# Where it cannot be done


def test_what_is_unsupported_is_refused_unless_alone(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost(crowd())
    monkeypatch.setattr(host, "unsupported", lambda: "unsupported: here")
    assert _refusal(host, action) == "unsupported: here"
    host.script = [ALONE]
    assert Fence(host=host).toggle(action)


def test_a_free_threaded_interpreter_is_unsupported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Host().unsupported() is None
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert str(Host().unsupported()).startswith("unsupported: a free-threaded")


def test_sub_interpreters_are_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_interpreters", lambda: 2)
    assert str(Host().unsupported()).startswith("unsupported: sub-interpreters")


@pytest.mark.parametrize("missing", ["_interpreters", "_xxsubinterpreters"])
def test_an_interpreter_that_cannot_count_them_has_one(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert threads._interpreters() == 1


# What the process shows


def test_a_sight_knows_every_thread_of_threading() -> None:
    stop = threading.Event()
    before = Host().sight()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        sight = Host().sight()
        assert sight.count == before.count + 1
        assert thread.native_id in sight.known
        assert thread.native_id not in sight.strangers
        assert threading.get_native_id() not in sight.strangers
        assert thread.ident not in sight.visitors
        assert not sight.alone
        if sight.kernel:
            assert thread.native_id in sight.kernel
    finally:
        stop.set()
        thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_who_sleeps_and_who_runs() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        host = Host()
        assert thread.native_id
        while not host.is_asleep(thread.native_id):
            os.sched_yield()
        assert not host.is_asleep(threading.get_native_id())
    finally:
        stop.set()
        thread.join()
    assert not host.is_asleep(0)


def test_without_proc_there_are_no_kernel_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_path: str) -> NoReturn:
        raise FileNotFoundError

    monkeypatch.setattr(os, "listdir", missing)
    sight = Host().sight()
    assert not sight.kernel
    assert not sight.alone, "what cannot be seen may be there"


def test_beside_gevent_the_native_function_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {("time", "sleep"): "the native sleep"}
    monkey = SimpleNamespace(get_original=lambda *names: found[names])
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    assert native("time", "sleep") == "the native sleep"


# tracemalloc


def test_tracing_starts_and_stops() -> None:
    assert start_tracing(7) is True
    try:
        assert tracemalloc.get_traceback_limit() == 7
        assert start_tracing(1) is True, "what runs is left as it is"
        assert tracemalloc.get_traceback_limit() == 7
    finally:
        assert stop_tracing() is True
    assert not tracemalloc.is_tracing()
    assert stop_tracing() is True


def test_a_refused_toggle_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fence._GATE.holds, "toggle", fence._Hold(-1, float("inf")))
    monkeypatch.setattr(Fence.__init__, "__kwdefaults__", _impatient())
    assert toggle(bool) == Unknown("another thread is toggling")  # type: ignore[arg-type]
    assert start_tracing() == Unknown("another thread is toggling")
    assert not tracemalloc.is_tracing()


def _impatient() -> dict[str, object]:
    return {**(Fence.__init__.__kwdefaults__ or {}), "timeout_seconds": 0.001}


def test_a_rest_is_a_native_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(fence, "_sleep", slept.append)
    fence.rest(0.5)
    assert slept == [0.5]


# In processes of their own


def _run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


FORK = """
import os, threading, time
from leakguard._runtime import fence

original = threading.Thread.start
entered, over = threading.Event(), threading.Event()

def hold():
    with fence.Fence():
        fence._GATE.hold(fence._Hold(threading.get_ident(), time.monotonic() + 60))
        fence._GATE.flights.add(1)
        entered.set()
        over.wait()

holder = threading.Thread(target=hold)
holder.start()
entered.wait()
{}
pid = os.fork()
if pid == 0:
    child = threading.Thread(target=bool)
    child.start()
    child.join()
    free = not fence._GATE.holds and not fence._GATE.flights
    free = free and (threading.Thread.start is original) is {}
    os._exit(0 if free else 1)
status = os.waitpid(pid, 0)[1]
over.set()
holder.join()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize(
    ("entered", "restored"), [("", True), ("f = fence.Fence().__enter__()", False)]
)
def test_a_forked_child_is_free_of_the_other_threads_toggle(
    entered: str, *, restored: bool
) -> None:
    done = _run(FORK.format(entered, restored))
    assert done.returncode == 0, done.stderr


def test_a_reset_forgets_all_that_other_threads_held() -> None:
    gone = object()
    with Fence():
        fence._GATE.enter(gone)
        fence._GATE.users[gone] = -1
        fence._GATE.flights.add(-1)
        fence._GATE.reset()
        assert gone not in fence._GATE.users
        assert not fence._GATE.flights
        assert threading.Thread.start is not ORIGINAL, "our own fence still stands"


SUBINTERPRETER = """
import sys, threading
from leakguard._runtime import fence
name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
try:
    other = __import__(name).create()
except ImportError:
    raise SystemExit(0)
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
print(fence.start_tracing())
stop.set()
thread.join()
"""


def test_beside_a_real_sub_interpreter_it_is_refused() -> None:
    done = _run(SUBINTERPRETER)
    assert done.returncode == 0, done.stderr
    assert not done.stdout or "sub-interpreters" in done.stdout


def test_importing_patches_nothing() -> None:
    done = _run(
        "import threading; original = threading.Thread.start\n"
        "import leakguard._runtime.window\n"
        "assert threading.Thread.start is original\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="crashes are seen as signals")
def test_no_crash_beside_threads_that_come_and_go() -> None:
    script = ROOT / "benchmarks" / "toggle_soak.py"
    if not script.exists():
        pytest.skip("the benchmarks are not here")
    done = subprocess.run(
        [sys.executable, script, "100"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 toggles" in done.stdout
