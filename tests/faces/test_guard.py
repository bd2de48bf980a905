"""The guard: one monitor per process, inert until started, gone when stopped."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leakguard
from leakguard import Guard, LeakguardError, Policy, current, watch
from leakguard._core.counters import Counters
from leakguard._core.pressure import Pressure
from leakguard._core.samples import Limit, Reading
from leakguard._runtime import monitor as runtime
from leakguard._runtime.monitor import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = str(Path(leakguard.__file__).parents[1])
PATIENCE_SECONDS = 30.0
MIB = 1024 * 1024
KEPT: list[object] = []


@pytest.fixture(autouse=True)
def _unwatched() -> Iterator[None]:
    assert current() is None
    yield
    while (guard := current()) is not None:
        guard.stop()
    process().warned = False


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("leakguard-")]


def wait(until: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < give_up_at, "it takes too long"
        time.sleep(0.01)


def run(code: str, *options: str, seconds: float = 60.0) -> str:
    """Return what a program prints that ends well, without a word on stderr."""
    prelude = f"import sys\nsys.path.insert(0, {SOURCE!r})\n"
    done = subprocess.run(
        [sys.executable, *options, "-c", prelude + code],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0), done
    return done.stdout


def test_until_it_is_started_nothing_runs() -> None:
    guard = Guard()
    assert threads() == []
    assert current() is None
    assert guard.verdict.kind == "unknown"
    assert guard.forecast.time_to_limit_seconds is None
    assert guard.pressure == Pressure(None, None, None, "not started")
    guard.stop()


def test_started_it_reads_at_once_and_ticks_on() -> None:
    with Guard(limit="1 TiB") as guard:
        assert guard.pressure.unreclaimable_bytes
        assert guard.pressure.limit_bytes
        assert guard.pressure.ratio
        assert guard.verdict.kind == "unknown"
        assert threads() == ["leakguard-watcher"]
        assert current() is guard
    assert threads() == []
    assert current() is None
    assert guard.pressure.ratio  # what was known stays


def test_a_limit_of_ones_own_is_the_nearest() -> None:
    with Guard(limit="16 KiB") as guard:
        assert guard.pressure.limit_bytes == 16 * 1024
        assert (guard.pressure.ratio or 0) > 100
        assert guard.report().memory.limit_source == "the limit given to the guard"


def test_a_report_tells_of_memory_ledger_and_mode() -> None:
    for guard in (Guard(), watch()):
        report = guard.report()
        assert report.program.mode == "guard"
        assert (report.memory.rss_bytes or 0) > MIB
        assert report.verdict.kind == "unknown"
        assert report.cost.windows == 0
        assert report.cost.overhead_ratio is None
        again = leakguard.render(report, "text")
        assert "guard" in again
    if sys.platform == "linux":
        assert report.memory.ledger.mapped_file_bytes
        assert report.memory.limit_bytes


def test_started_twice_it_is_started_once() -> None:
    guard = Guard()
    guard.start()
    guard.start()
    assert threads() == ["leakguard-watcher"]
    guard.stop()
    guard.stop()
    assert threads() == []


def test_stopping_restores_everything() -> None:
    collecting, start = gc.isenabled(), threading.Thread.start
    for _ in range(3):
        guard = Guard(tracing="always")
        guard.start()
        assert tracemalloc.is_tracing()
        guard.stop()
        assert not tracemalloc.is_tracing()
    assert gc.isenabled() is collecting
    assert threading.Thread.start is start


def test_tracing_of_the_programs_own_goes_on() -> None:
    tracemalloc.start()
    try:
        with Guard(tracing="always"):
            pass
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def test_watch_returns_the_processs_guard() -> None:
    guard = watch()
    assert watch() is guard is current()
    assert threads() == ["leakguard-watcher"]


def test_other_options_are_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    guard = watch(budget=0.02)
    with caplog.at_level(logging.WARNING, "leakguard"):
        assert watch(budget=0.02) is guard
        assert caplog.records == []
        assert watch(budget=0.03) is guard
        assert watch(limit="1 GiB") is guard
        assert len(caplog.records) == 1
        assert "budget=0.02" in caplog.text


def test_two_guards_share_one_monitor() -> None:
    with Guard() as one, Guard() as other:
        assert threads() == ["leakguard-watcher"]
        assert one.pressure is other.pressure
        one.stop()
        assert threads() == ["leakguard-watcher"]
        assert current() is other
    assert threads() == []


def test_many_threads_that_watch_get_one_guard() -> None:
    found: list[Guard] = []
    callers = [threading.Thread(target=lambda: found.append(watch())) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(set(map(id, found))) == 1
    assert threads() == ["leakguard-watcher"]


def test_a_reload_or_a_second_import_makes_no_second_monitor() -> None:
    guard = watch()
    kept = {name: sys.modules[name] for name in sys.modules if _is_ours(name)}
    try:
        importlib.reload(leakguard.guard)
        assert leakguard.guard.watch() is guard
        for name in kept:
            del sys.modules[name]
        again = importlib.import_module("leakguard")
        assert again is not kept["leakguard"]
        assert again.watch() is guard
        with again.Guard():
            assert threads() == ["leakguard-watcher"]
    finally:
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(kept)


def _is_ours(name: str) -> bool:
    return f"{name}.".startswith("leakguard.")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"policy": object()}, "policy is a leakguard.Policy"),
        ({"budget": 1.0}, "budget is a share"),
        ({"budget": -0.1}, "budget is a share"),
        ({"tracing": "often"}, "tracing is"),
        ({"limit": 0}, "limit must be above 0"),
        ({"limit": "much"}, "is not a size"),
    ],
)
def test_options_without_sense_are_refused(
    options: dict[str, Any], sentence: str
) -> None:
    for make in (Guard, watch):
        with pytest.raises(LeakguardError, match=sentence):
            make(**options)
    assert current() is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_no_time_to_investigate_is_refused(seconds: float) -> None:
    with pytest.raises(LeakguardError, match="seconds must be above 0"):
        Guard().investigate(seconds)


class Order:
    def __init__(self) -> None:
        self.body = bytearray(2_000)


def test_an_investigation_names_the_leak_per_request() -> None:
    over, work = threading.Event(), process().work

    def serve() -> None:
        while not over.wait(0.002):
            work.begin()
            KEPT.append(Order())
            work.end()

    server = threading.Thread(target=serve)
    server.start()
    guard = Guard(budget=0.9, app_root=str(Path(__file__).parent))
    try:
        for _ in range(3):  # within its budget it takes longer on a busy machine
            report = guard.investigate(12.0)
            if report.verdict.kind == "leak":
                break
    finally:
        over.set()
        server.join()
        KEPT.clear()
    assert report.verdict.kind == "leak", report.verdict
    (first, *_) = report.suspects
    assert first.site is not None
    assert first.owner is not None
    assert (first.site.file, first.site.function) == (__file__, "Order.__init__")
    assert first.owner.path == f"{__name__}.KEPT"
    assert 1_900 < (first.growth_bytes_per_call or 0) < 2_600
    assert first.growth_bytes_per_second
    assert report.cost.windows >= 4
    assert 0 < (report.cost.overhead_ratio or 0) < 1
    assert current() is None
    assert threads() == []


def test_a_trend_that_turns_suspicious_starts_an_investigation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Guard() as guard:
        monitor = process().monitor
        assert monitor is not None
        asked: list[int] = []
        monkeypatch.setattr(monitor.investigation, "suspect", lambda: asked.append(1))
        monitor.watcher.judge()
        assert asked == []
        monkeypatch.setattr(runtime, "is_suspicious", lambda _trend: True)
        monitor.watcher.judge()
        assert asked == [1]
        assert guard.verdict.reason
        assert guard.forecast.reason


class Pressed:
    """A guard whose memory is the test's to set, and which ticks when it says so."""

    def __init__(self, guard: Guard, used: int = 300) -> None:
        guard.start()
        monitor = process().monitor
        assert monitor is not None
        monitor.watcher.stop()
        monitor.protection.reset()
        self.reliefs = monitor.protection.reliefs
        self.watcher = monitor.watcher
        self.watcher._reader = self
        self.used = used
        self.watcher.step()

    def read(self) -> Reading:
        return Reading(Limit(1_000, "a test"), unreclaimable_bytes=self.used)

    def at(self, used: int, looks: int = 2) -> None:
        self.used = used
        for _ in range(looks):
            self.watcher.step()
        wait(lambda: self.reliefs._thread is None)


def test_it_keeps_no_descriptor_when_it_is_stopped() -> None:
    def open_descriptors() -> int:
        return len(list(descriptors.iterdir()))

    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("no /proc here")
    with Guard() as guard:
        guard.report()  # what is kept open for the process
    before = open_descriptors()
    for _ in range(3):
        with Guard() as guard:
            assert open_descriptors() > before
        Guard().report()
        assert open_descriptors() == before


def test_under_pressure_it_calls_back_and_sheds_until_it_is_stopped() -> None:
    called: list[str] = []
    guard = Guard()
    guard.on_pressure(lambda: called.append("high"))
    pressed = Pressed(guard)
    guard.on_pressure(lambda: called.append("critical"), at="critical")
    assert (guard.level, guard.gate.ready) == ("ok", True)
    pressed.at(900)
    assert (guard.level, guard.gate.ready, called) == ("high", True, ["high"])
    assert guard.admit()
    pressed.at(980)
    assert (guard.level, guard.gate.ready) == ("critical", False)
    assert called == ["high", "high", "critical"]
    assert not guard.admit("sheddable", key="a client")
    assert guard.admit("critical")
    counters = guard.counters
    assert counters.transitions == {"high": 1, "critical": 1}
    done = ("collect", "callbacks", "trim", "record")
    assert counters.actions == {**dict.fromkeys(done, 2), "recycle": 1}
    assert counters.shed == {"critical/sheddable": 1}
    names = [relief.name for relief in counters.last_reliefs]
    assert {"gc.collect", "heap trim"} < set(names)
    assert sum("<lambda>" in name for name in names) == 3
    guard.stop()
    assert (guard.level, guard.gate.ready) == ("ok", True)
    assert guard.admit("sheddable")
    assert threads() == []


def test_callbacks_are_the_guards_own_and_stay_over_a_restart() -> None:
    called: list[str] = []
    one, other = Guard(), Guard()
    one.on_pressure(lambda: called.append("one"))
    other.on_pressure(lambda: called.append("other"))
    pressed = Pressed(one)
    other.start()
    one.stop()
    pressed.at(900)
    assert called == ["other"]
    other.stop()
    one.start()
    one.start()
    Pressed(one).at(900)
    assert called == ["other", "one"]


def test_a_policy_of_ones_own_counts() -> None:
    policy = Policy(actions={"critical": ("unready",)}, dry_run=False)
    guard = watch(policy=policy)
    assert watch(policy=policy) is guard
    Pressed(guard).at(990)
    assert not guard.gate.ready
    assert guard.admit("sheddable")


def test_a_dry_run_only_tells(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard(policy=Policy(dry_run=True))
    Pressed(guard).at(990)
    assert guard.level == "critical"
    assert guard.gate.ready
    assert guard.counters.actions == {}
    assert "a dry run" in caplog.text


def test_a_guard_that_is_not_started_leaves_the_gate_alone() -> None:
    guard = Guard()
    Pressed(guard).at(990)
    other = Guard()
    assert (other.level, other.counters) == ("ok", Counters())
    assert other.gate is guard.gate
    assert not other.admit("sheddable")
    other.stop()
    assert not guard.gate.ready


def test_work_is_counted_with_and_without_a_start() -> None:
    guard, work = Guard(), process().work
    before = work.read()
    with guard.work():
        during = work.read()
        assert during is not None
        assert during.in_flight == 1 + (before.in_flight if before else 0)
    after = work.read()
    assert after is not None
    assert after.finished == 1 + (before.finished if before else 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((print, "ok"), "at is one of elevated, high, critical, not 'ok'"),
        ((print, "low"), "at is one of"),
        ((7, "high"), "something to call, not a int"),
    ],
)
def test_callbacks_without_sense_are_refused(
    arguments: tuple[Any, Any], sentence: str
) -> None:
    with pytest.raises(LeakguardError, match=sentence):
        Guard().on_pressure(*arguments)


def test_callbacks_are_bounded() -> None:
    guard = Guard()
    for _ in range(256):
        guard.on_pressure(gc.collect)
    with pytest.raises(LeakguardError, match="at most 256 callbacks"):
        guard.on_pressure(gc.collect)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_process_under_pressure_begins_with_an_open_gate() -> None:
    code = """
from leakguard._core.gate import GateState
guard = leakguard.watch()
guard.gate.publish(GateState("critical", {"normal": 1.0}, ready=False))
pid = os.fork()
if pid == 0:
    fine = guard.gate.ready and guard.admit() and guard.level == "ok"
    os._exit(0 if fine else 1)
assert os.waitpid(pid, 0)[1] == 0
assert not guard.gate.ready
guard.stop()
assert guard.gate.ready
guard.gate.publish(GateState("critical", {"normal": 1.0}, ready=False))
pid = os.fork()
if pid == 0:
    os._exit(0 if guard.gate.ready else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    assert run(FORKED + code, "-W", "ignore::DeprecationWarning") == ""


FORKED = """
import os, threading, time
import leakguard
from leakguard._runtime.monitor import process

def watchers():
    return [t.name for t in threading.enumerate() if t.name == "leakguard-watcher"]

def check():
    guard = leakguard.current()
    give_up_at = time.monotonic() + 30
    while process().monitor.watcher.state.ticks < 2 and time.monotonic() < give_up_at:
        time.sleep(0.01)
    state = process().monitor.watcher.state
    assert leakguard.watch() is guard
    assert state.ticks >= 2 and not state.failed_ticks, state
    assert len(process().monitor.watcher.series) == state.ticks
    assert watchers() == ["leakguard-watcher"]
    assert process().work.read() is None or not process().work.read().in_flight
    guard.stop()
    assert watchers() == []

"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_watches_itself() -> None:
    code = """
leakguard.watch()
process().work.begin()
time.sleep(1.2)
before = process().monitor.watcher.state.ticks
pid = os.fork()
if pid == 0:
    try:
        check()
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
    os._exit(0)
_, status = os.waitpid(pid, 0)
assert status == 0, status
give_up_at = time.monotonic() + 30
while process().monitor.watcher.state.ticks <= before:
    assert time.monotonic() < give_up_at
    time.sleep(0.01)
assert process().work.read().in_flight == 1
print("both")
"""
    assert run(FORKED + code, "-W", "ignore::DeprecationWarning") == "both\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_in_the_middle_of_a_window_leaves_the_child_clean() -> None:
    code = """
import gc, tracemalloc
guard = leakguard.watch(budget=0.99)
asking = threading.Thread(target=guard.investigate, args=(20,), daemon=True)
asking.start()
while not tracemalloc.is_tracing():
    time.sleep(0.001)
pid = os.fork()
if pid == 0:
    try:
        assert not tracemalloc.is_tracing()
        check()
        assert [t.name for t in threading.enumerate()] == ["MainThread"]
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
guard.stop()
assert not tracemalloc.is_tracing()
print("both")
"""
    assert run(FORKED + code, "-W", "ignore::DeprecationWarning") == "both\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_stopping_the_fork_hook_does_nothing() -> None:
    code = """
leakguard.watch().stop()
pid = os.fork()
if pid == 0:
    os._exit(0 if threading.active_count() == 1 and not leakguard.current() else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    assert run(FORKED + code) == ""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing(method: str, tmp_path: Path) -> None:
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("no fork here")
    code = f"""
import multiprocessing
def child():
    if {method!r} == "spawn":
        assert leakguard.current() is None
        leakguard.watch()
    check()
if __name__ == "__main__":
    leakguard.watch()
    started = multiprocessing.get_context({method!r}).Process(target=child)
    started.start()
    started.join(40)
    assert started.exitcode == 0, started.exitcode
    leakguard.current().stop()
    print("both")
"""
    path = tmp_path / "program.py"
    head = f"import sys\nsys.path.insert(0, {SOURCE!r})\n"
    path.write_text(head + FORKED + code, "utf-8")
    start = f"import runpy\nrunpy.run_path({str(path)!r}, run_name='__main__')"
    if method == "fork":
        assert run(start, "-W", "ignore::DeprecationWarning") == "both\n"
        return
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("both\n", "")


def test_beside_gevent_the_watcher_is_a_native_thread() -> None:
    pytest.importorskip("gevent")
    code = """
from gevent import monkey
monkey.patch_all()
import os, time, gevent
import leakguard
from leakguard._runtime.monitor import process

guard = leakguard.watch()
over = time.monotonic() + 3.2
while time.monotonic() < over:  # computes, and gives way to no green thread
    sum(range(1000))
ticks = process().monitor.watcher.state.ticks
assert ticks >= 3, ticks
turns = []
def turn():
    while True:
        turns.append(1)
        gevent.sleep(0.01)
gevent.spawn(turn)
report = guard.investigate(2)
assert len(turns) > 50, len(turns)  # the hub went on
assert report.cost.windows >= 1, report.cost
assert not process().monitor.watcher.state.failed_ticks
if hasattr(os, "fork"):
    pid = os.fork()
    if pid == 0:
        time.sleep(0.5)
        os._exit(0 if process().monitor.watcher.state.ticks else 1)
    assert os.waitpid(pid, 0)[1] == 0
guard.stop()
print("ticked")
"""
    assert run(code, "-W", "ignore::DeprecationWarning") == "ticked\n"


@pytest.mark.parametrize("busy", [False, True])
def test_the_interpreter_ends_at_once_and_in_silence(*, busy: bool) -> None:
    code = f"""
import threading, time, leakguard
guard = leakguard.watch(budget=0.99)
if {busy}:
    threading.Thread(target=guard.investigate, args=(60,), daemon=True).start()
    time.sleep(1.0)
print(time.time())
"""
    ended_at = float(run(code))
    assert time.time() - ended_at < 5.0


def test_a_guard_may_begin_while_the_interpreter_ends() -> None:
    code = """
import atexit, leakguard
def late():
    guard = leakguard.watch()  # since 3.12 no thread can be started here
    assert guard.pressure.unreclaimable_bytes and guard.admit()
    print("ended")
atexit.register(late)
"""
    assert run(code) == "ended\n"


def test_it_takes_no_signal_and_no_callback_of_the_collector() -> None:
    code = """
import gc, signal, leakguard
def taken():
    return gc.callbacks[:], [signal.getsignal(n) for n in signal.valid_signals()]
before = taken()
with leakguard.Guard(budget=0.9) as guard:
    guard.investigate(1)
    assert taken() == before
assert taken() == before
"""
    assert run(code) == ""


def test_the_programs_exit_code_is_its_own() -> None:
    code = f"""import sys
sys.path.insert(0, {SOURCE!r})
import leakguard
leakguard.watch()
sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 7


def test_a_sub_interpreter_is_not_watched() -> None:
    code = f"""
name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
interpreters = __import__(name)
inner = '''
import sys, threading
sys.path.insert(0, {SOURCE!r})
import leakguard
with leakguard.Guard() as guard:
    assert "unsupported: a sub-interpreter" in guard.pressure.source, guard.pressure
    assert guard.investigate(1).verdict.kind == "unknown"
    assert threading.active_count() == 1
print("inner", flush=True)
'''
one = interpreters.create()
run = getattr(interpreters, "exec", None) or interpreters.run_string
trouble = run(one, inner)
assert trouble is None, trouble
interpreters.destroy(one)
"""
    # Without site, which may start a measurement of coverage in there.
    assert run(code, "-S") == "inner\n"
