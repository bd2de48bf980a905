"""The recorder: whole files, whatever the disk, the kernel or the memory does."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leakguard
from leakguard._core.flight import (
    MOST_BYTES,
    Flight,
    Writer,
    from_document,
    name_of,
)
from leakguard._core.policy import Transition
from leakguard._core.samples import Sample
from leakguard._readers.lives import this_life
from leakguard._runtime import flight as module
from leakguard._runtime.flight import KEPT_RECORDS, Recorder, describe
from leakguard._runtime.monitor import Monitor, Options
from leakguard._runtime.work_counter import WorkCounter
from tests.core.test_flight import FLIGHT
from tests.render.examples import LEAK

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = str(Path(leakguard.__file__).parents[1])


class World:
    """A recorder whose process is in whatever state a test says."""

    def __init__(self, directory: Path | None, log: Path | None = None) -> None:
        self.flight = replace(FLIGHT, writer=this_life())
        self.asked: list[bool] = []
        self.error: BaseException | None = None
        self.recorder = Recorder(
            None if directory is None else str(directory),
            self.describe,
            termination_log=None if log is None else str(log),
        )

    def describe(self, is_whole: bool) -> Flight:  # noqa: FBT001
        self.asked.append(is_whole)
        error = self.error
        if error is not None:
            if is_whole:
                raise error
            return replace(self.flight, report=None)
        return self.flight

    def write(self) -> None:
        self.recorder._write()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "records"


@pytest.fixture
def world(home: Path) -> Iterator[World]:
    made = World(home)
    made.recorder.start()
    yield made
    made.recorder.stop(5)


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def read(directory: Path) -> Flight:
    (path,) = directory.glob("*.json")
    return from_document(json.loads(path.read_bytes()))


def wait_for(directory: Path, level: str) -> None:
    until = time.monotonic() + 10
    while read(directory).level != level and time.monotonic() < until:
        time.sleep(0.01)
    assert read(directory).level == level


def test_it_writes_at_the_start_and_when_asked(world: World, home: Path) -> None:
    assert read(home).level == "critical"
    world.flight = replace(world.flight, level="high")
    world.recorder.ask()
    wait_for(home, "high")
    assert read(home).ended is None
    world.recorder.stop(5)
    assert read(home).ended == "clean"
    world.recorder.ask()  # does no harm
    assert world.recorder.failures == 0


def test_only_the_user_may_read_it(world: World, home: Path) -> None:
    (path,) = home.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert path.name == name_of(world.flight.writer)


def test_a_planted_link_is_not_followed(
    world: World, home: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious", "utf-8")
    name = name_of(world.flight.writer)
    (home / name).unlink()
    for each in (name, f"{name}.tmp"):
        (home / each).symlink_to(victim)
    world.write()
    assert victim.read_text("utf-8") == "precious"
    assert read(home).level == "critical"
    assert not (home / name).is_symlink()
    assert files(home) == [name]


def test_the_oldest_of_other_lives_are_cleared_away(home: Path) -> None:
    home.mkdir()
    names = [name_of(Writer(1, ticks, "0" * 8)) for ticks in range(1, 30)]
    for age, name in enumerate(names):
        (home / name).write_text("{}", "ascii")
        os.utime(home / name, (1e9 + age, 1e9 + age))
    (home / f"{names[0]}.tmp").write_text("{", "ascii")
    (home / "notes.txt").write_text("mine", "ascii")
    (home / name_of(this_life())).write_text("{}", "ascii")
    world = World(home)
    world.recorder.start()
    world.recorder.stop(5)
    kept = {*names[-KEPT_RECORDS:], "notes.txt", name_of(this_life())}
    assert set(files(home)) == kept


@pytest.mark.parametrize("kind", ["a file", "missing rights"])
def test_a_disk_that_takes_nothing_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    (tmp_path / "file").write_text("", "ascii")
    home = tmp_path / "file/records" if kind == "a file" else Path("/proc/records")
    world = World(home)
    world.recorder.start()
    world.write()
    world.recorder.stop(5)
    assert world.recorder.failures >= 3
    assert caplog.text.count("a flight record could not be written") == 1


def test_what_failed_is_among_the_counters(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "ascii")
    with leakguard.Guard(flight_record=tmp_path / "file/records") as guard:
        assert guard.counters.failed_records >= 2
    with leakguard.Guard(flight_record=tmp_path / "records") as guard:
        assert guard.counters.failed_records == 0


def test_a_full_disk_leaves_the_record_before(
    world: World,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    world.flight = replace(world.flight, level="high")
    with monkeypatch.context() as patched:
        patched.setattr(module.os, "fsync", full)
        world.write()
        world.write()
    assert read(home).level == "critical"
    assert len(files(home)) == 1
    assert world.recorder.failures == 2
    (told,) = caplog.messages
    assert "No space left on device" in told
    world.write()
    assert read(home).level == "high"


def test_without_memory_the_record_is_a_smaller_one(world: World, home: Path) -> None:
    world.error = MemoryError()
    world.flight = replace(world.flight, level="high")
    world.write()
    assert world.asked[-2:] == [True, False]
    assert read(home).level == "high"
    assert read(home).report is None
    assert world.recorder.failures == 0


def test_what_goes_wrong_in_describing_is_counted(world: World, home: Path) -> None:
    world.error = ZeroDivisionError()
    world.write()
    assert world.recorder.failures == 1
    assert read(home).level == "critical"


def test_a_huge_report_is_cut_down(world: World, home: Path) -> None:
    deep = replace(LEAK.suspects[0], stack=("\U0001f4a5" * 500,) * 5_000)
    report = replace(LEAK, suspects=(deep,) * 50)
    world.flight = replace(world.flight, report=report)
    world.write()
    (path,) = home.iterdir()
    assert path.stat().st_size <= MOST_BYTES
    assert read(home).report is not None


def test_a_forked_child_has_a_file_of_its_own_or_none(home: Path) -> None:
    code = """if True:
        import os, sys
        import leakguard
        guard = leakguard.watch(flight_record=sys.argv[1])
        from leakguard._runtime.monitor import process
        for writes in (False, True):
            child = os.fork()
            if child == 0:
                recorder = process().monitor.recorder
                if writes:
                    recorder._write()
                recorder.stop(5)
                os._exit(0)
            os.waitpid(child, 0)
        os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", code, str(home)]
    done = subprocess.run(command, check=False, timeout=60, cwd=SOURCE)
    assert done.returncode == -signal.SIGKILL
    found = [from_document(json.loads(path.read_bytes())) for path in home.iterdir()]
    assert sorted(str(each.ended) for each in found) == ["None", "clean"]
    assert len({each.writer.pid for each in found}) == 2


def test_a_kill_in_the_midst_of_writing_leaves_a_whole_record(home: Path) -> None:
    code = """if True:
        import sys
        import leakguard
        guard = leakguard.watch(flight_record=sys.argv[1])
        from leakguard._runtime.monitor import process
        print(flush=True)
        while True:
            process().monitor.recorder._write()
    """
    command = [sys.executable, "-c", code, str(home)]
    for pause in (0.0, 0.003, 0.01, 0.017):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=SOURCE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(pause)  # anywhere in a write
        child.kill()
        child.communicate()
    whole = list(home.glob("*.json"))
    assert len(whole) == 4
    for path in whole:
        assert from_document(json.loads(path.read_bytes())).ended is None
    world = World(home)
    world.recorder.start()
    world.recorder.stop(5)
    assert not list(home.glob("*.tmp"))


def test_siblings_in_one_directory_do_not_meet(home: Path) -> None:
    code = """if True:
        import sys
        import leakguard
        from leakguard._runtime.monitor import process
        with leakguard.Guard(flight_record=sys.argv[1]) as guard:
            for _ in range(20):
                process().monitor.recorder._write()
            assert process().monitor.recorder.failures == 0
            print(flush=True)
            input()
    """
    command = [sys.executable, "-c", code, str(home)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    children = [subprocess.Popen(command, cwd=SOURCE, **pipes) for _ in range(3)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"\n"
    for child in children:
        child.communicate(b"\n")
    assert [child.returncode for child in children] == [0, 0, 0]
    found = [from_document(json.loads(path.read_bytes())) for path in home.iterdir()]
    assert {each.writer.pid for each in found} == {child.pid for child in children}
    assert {each.ended for each in found} == {"clean"}


def test_the_termination_log_has_a_message_while_pressure_is_high(
    tmp_path: Path,
) -> None:
    log = tmp_path / "termination-log"
    log.write_text("from before", "ascii")
    world = World(None, log)
    world.flight = replace(world.flight, level="ok")
    world.recorder.start()
    assert log.read_text("utf-8") == "from before"
    world.flight = replace(world.flight, level="high")
    world.write()
    assert log.read_text("utf-8").startswith("leakguard: memory at 97 %")
    world.flight = replace(world.flight, level="elevated")
    world.write()
    assert log.read_bytes() == b""
    world.flight = replace(world.flight, level="critical")
    world.write()
    world.recorder.stop(5)
    assert log.read_bytes() == b""
    assert world.recorder.failures == 0


def test_a_termination_log_that_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "pipe")
    victim = tmp_path / "victim"
    victim.write_text("precious", "ascii")
    (tmp_path / "link").symlink_to(victim)
    for name in ("none", "pipe", "link"):
        world = World(None, tmp_path / name)
        world.write()
        assert world.recorder.failures == 1
    assert victim.read_text("ascii") == "precious"
    assert not (tmp_path / "none").exists()
    assert "none" in caplog.text


def test_where_no_thread_can_be_started_the_end_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(module, "DaemonThread", fail)
    world = World(home)
    world.recorder.start()
    world.recorder.ask()
    world.recorder.stop(5)
    assert read(home).ended == "clean"


def test_the_state_of_the_process_is_in_the_record() -> None:
    monitor = Monitor(Options(), WorkCounter())
    now = time.monotonic()
    for ago in range(400, 0, -1):
        series = monitor.watcher.series
        series.add(Sample(now - ago, rss_bytes=1000 - ago))
    series.add(Sample(now, rss_bytes=5, unreclaimable_bytes=7))
    change = Transition(now - 9, "ok", "high", "memory is at 86 % of its limit")
    monitor.protection._last.append(change)
    found = describe(monitor)
    assert len(found.history) <= 60
    assert found.history[-1].used_bytes == 7
    assert found.history[-2].used_bytes == 999
    assert found.history[0].seconds_ago > 300
    assert [(round(c.seconds_ago), c.level) for c in found.changes] == [(9, "high")]
    assert found.report is not None
    assert describe(monitor, is_whole=False).report is None
    assert found.writer.pid == os.getpid()
    assert found.ended is None


def test_a_guard_writes_nothing_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with leakguard.Guard():
        pass
    assert not files(tmp_path)


def test_a_change_of_level_is_recorded(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monitor = Monitor(Options(limit_bytes=1, flight_record=str(home)), WorkCounter())
    assert monitor.recorder is not None
    asked: list[int] = []
    monitor.recorder.ask = lambda: asked.append(1)  # type: ignore[method-assign]
    monitor.protection._tell(Transition(1.0, "ok", "high", "because"), "here")
    assert asked == [1]
