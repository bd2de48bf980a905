"""``leakguard.previous_life``: how the last one ended, and its last words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import leakguard
from leakguard import Guard, LeakguardError, previous_life
from leakguard._core.flight import Flight, Writer, documents, name_of
from leakguard._readers.lives import read_boot, this_life
from leakguard.lives import previous_lives
from tests.core.test_flight import FLIGHT
from tests.kernel_groups import write
from tests.render.examples import LEAK

SOURCE = str(Path(leakguard.__file__).parents[1])
LIMIT_BYTES = 96 << 20
CANARY = "kestrel-4711-canary"


def put(directory: Path, flight: Flight) -> Path:
    path = directory / name_of(flight.writer)
    path.write_text(json.dumps(next(documents(flight))), "ascii")
    return path


def left_by(number: int, **changes: object) -> Flight:
    writer = Writer(2**22 + number, number, read_boot())
    return replace(FLIGHT, writer=writer, groups=(), **changes)  # type: ignore[arg-type]


def test_the_last_words_are_brought(tmp_path: Path) -> None:
    path = put(tmp_path, left_by(1))
    life = previous_life(tmp_path, exit_code=137)
    assert life is not None
    assert life.ended == "oom-killed"
    assert "memory was at 97 % of its limit" in life.reason
    assert (life.path, life.pid, life.at) == (str(path), 2**22 + 1, FLIGHT.at)
    assert life.suspects == LEAK.suspects
    assert life.verdict == LEAK.verdict
    assert life.report == leakguard.load(path)
    assert (life.forecast, life.pressure) == (FLIGHT.forecast, FLIGHT.pressure)
    assert (life.history, life.changes) == (FLIGHT.history, FLIGHT.changes)
    assert (life.level, life.oom_kills) == ("critical", None)


def test_the_newest_life_is_the_previous_one(tmp_path: Path) -> None:
    for number in (3, 1, 2):
        put(tmp_path, left_by(number, up_seconds=float(number)))
    put(tmp_path, replace(left_by(9, up_seconds=99.0), writer=this_life()))
    lives = previous_lives(str(tmp_path))
    assert [life.pid - 2**22 for life in lives] == [3, 2, 1]
    assert previous_life(tmp_path) == lives[0]


def test_without_a_record_there_is_no_previous_life(tmp_path: Path) -> None:
    assert previous_life() is None
    assert previous_life(tmp_path) is None
    assert previous_life(tmp_path / "none") is None
    with Guard():
        assert previous_life() is None


def test_the_directory_is_by_default_that_of_the_guard(tmp_path: Path) -> None:
    put(tmp_path, left_by(1, ended="clean"))
    with Guard(flight_record=tmp_path):
        life = previous_life()
    assert life is not None
    assert life.ended == "clean"


def test_a_record_that_cannot_be_read_is_a_reason_and_comes_last(
    tmp_path: Path,
) -> None:
    later = json.dumps({"schema": "leakguard.flight/2"})
    texts = ("", "{", "[" * 100_000, later, "null", "\x00\xff", "x" * (1 << 20))
    for number, text in enumerate(texts, 1):
        path = tmp_path / name_of(Writer(2**22, number, None))
        path.write_text(text, "utf-8")
    (tmp_path / name_of(Writer(2**22, 99, None))).symlink_to("/etc/passwd")
    put(tmp_path, left_by(1))
    first, *broken = previous_lives(tmp_path)
    assert first.record is not None
    assert len(broken) == len(texts) + 1
    for life in broken:
        assert life.ended == "unknown"
        assert life.reason.startswith("its record cannot be read: ")
        assert life.record is life.at is life.report is life.verdict is None
        assert life.level is life.pressure is life.forecast is life.oom_kills is None
        assert life.suspects == life.history == life.changes == ()
    assert any("expected 'leakguard.flight/1'" in life.reason for life in broken)


def test_a_record_without_a_report_cannot_be_loaded_as_one(tmp_path: Path) -> None:
    path = put(tmp_path, left_by(1, report=None))
    with pytest.raises(LeakguardError, match="not a report"):
        leakguard.load(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flight_record": 7}, "flight_record is a directory, not a int"),
        ({"heap_limit": 0}, "heap_limit must be above 0, not 0"),
        ({"heap_limit": "many"}, "many"),
        ({"hard": True}, "there is none"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(LeakguardError, match=message):
        Guard(**options)  # type: ignore[arg-type]
    with pytest.raises(LeakguardError, match=message):
        leakguard.watch(**options)  # type: ignore[arg-type]


#: It keeps what it is given, and says at its start how the life before ended.
LEAKING = f"""
import json, os, sys, threading, time
with open(sys.argv[1] + "/cgroup.procs", "w") as procs:
    procs.write(str(os.getpid()))
import leakguard

life = leakguard.previous_life(sys.argv[2])
if life is not None:
    print(json.dumps([life.ended, life.reason, life.level, len(life.history),
        [[s.site.file, s.site.line, s.owner and s.owner.path] for s in life.suspects
         if s.site]]))
    sys.exit()

kept = []
def remember():
    kept.append({CANARY!r} * 500 + str(len(kept)))  # the leaking line

times = 1
def leak():
    while True:
        for _ in range(times):
            remember()
        time.sleep(0.005)

guard = leakguard.watch(flight_record=sys.argv[2], budget=0.2)
threading.Thread(target=leak, daemon=True).start()
guard.investigate(5)
times = 10  # 20 MB a second
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.privileged
def test_a_real_kill_is_told_of_at_the_next_start(group: Path, tmp_path: Path) -> None:
    write(group / "memory.limit_in_bytes", LIMIT_BYTES)
    program, home = tmp_path / "program.py", tmp_path / "records"
    program.write_text(LEAKING, "utf-8")
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    command = [sys.executable, str(program), str(group), str(home)]
    killed = subprocess.run(command, check=False, timeout=120, env=environment)
    assert killed.returncode == -signal.SIGKILL  # 137, as a shell says
    (record,) = home.iterdir()
    assert CANARY not in record.read_text("ascii")
    told = subprocess.check_output(command, timeout=60, text=True, env=environment)
    ended, reason, level, points, suspects = json.loads(told)
    assert ended == "oom-killed", reason
    assert "very likely killed for lack of memory" in reason
    assert level in ("high", "critical")
    assert points > 3
    line = LEAKING.splitlines().index(
        next(text for text in LEAKING.splitlines() if "the leaking line" in text)
    )
    assert [str(program), line + 1] in [suspect[:2] for suspect in suspects]
    # In another group nothing is counted, and the last record has to tell.
    again = previous_life(home)
    assert again is not None
    assert again.ended == ("oom-killed" if level == "critical" else "unknown")
