"""What tells one life from another: boots, start times, kills, files of records."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from leakguard._core.flight import MOST_BYTES, Group, Writer, name_of
from leakguard._core.records import Unknown
from leakguard._readers.lives import (
    is_alive,
    read_boot,
    read_groups,
    read_record,
    record_files,
    started_of,
    this_life,
)

if TYPE_CHECKING:
    from pathlib import Path

BOOT = "3c7d8182"
STAT = "1 (a (b) c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {started} 1 2 3\n"


def lay(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return str(root)


def test_a_start_of_the_machine_has_a_name(tmp_path: Path) -> None:
    boot = f"{BOOT}-0000-4000-8000-000000000000\n"
    assert read_boot(lay(tmp_path, {"proc/sys/kernel/random/boot_id": boot})) == BOOT


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "3C7D"])
def test_what_is_no_name_of_a_start_is_none(tmp_path: Path, text: str) -> None:
    root = lay(tmp_path, {"proc/sys/kernel/random/boot_id": text})
    assert read_boot(root) is read_boot(str(tmp_path / "none")) is None


def test_a_life_is_a_number_and_its_start(tmp_path: Path) -> None:
    root = lay(tmp_path, {"proc/1/stat": STAT.format(started=4242)})
    (tmp_path / "proc/self").mkdir()
    assert started_of(1, root) == 4242
    assert started_of(2, root) is None
    assert is_alive(Writer(1, 4242, BOOT), BOOT, root)


@pytest.mark.parametrize(
    "writer",
    [
        Writer(1, 41, BOOT),  # the number is another process's now
        Writer(2, 4242, BOOT),
        Writer(1, 4242, "ffffffff"),  # the machine was started anew
        Writer(1, None, BOOT),
    ],
)
def test_a_life_that_is_over(tmp_path: Path, writer: Writer) -> None:
    root = lay(tmp_path, {"proc/1/stat": STAT.format(started=4242)})
    (tmp_path / "proc/self").mkdir()
    assert not is_alive(writer, BOOT, root)


@pytest.mark.parametrize("text", [STAT.replace(" S ", " Z "), STAT])
def test_a_life_that_cannot_be_told_is_over(tmp_path: Path, text: str) -> None:
    started = "x" if " S " in text else "4242"
    root = lay(tmp_path, {"proc/1/stat": text.format(started=started)})
    (tmp_path / "proc/self").mkdir()
    assert started_of(1, root) is None


def test_this_process_is_alive_and_an_ended_child_is_not() -> None:
    own = this_life()
    assert own.pid == os.getpid()
    assert is_alive(own, own.boot)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        life = Writer(child.pid, started_of(child.pid), own.boot)
        assert is_alive(life, own.boot)
    finally:
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(life, own.boot)  # not even while nobody has reaped it
        child.communicate()
    assert not is_alive(life, own.boot)


def test_where_there_is_no_proc_psutil_tells(tmp_path: Path) -> None:
    known = started_of(os.getpid(), str(tmp_path))
    assert known is not None
    assert known == started_of(os.getpid(), str(tmp_path))
    assert started_of(2**22 + 1, str(tmp_path)) is None


MOUNT = "30 1 0:2 / {at} rw - {kind} cgroup rw{options}\n"


def test_version_2_counts_in_all_groups_around(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/app\n",
            "proc/self/mountinfo": MOUNT.format(at="/cg", kind="cgroup2", options=""),
            "cg/pod/app/memory.events": "low 0\noom 3\noom_kill 2\n",
            "cg/pod/memory.events": "oom_kill 5\n",
        },
    )
    app, pod = ((tmp_path / "cg" / name).stat().st_ino for name in ("pod/app", "pod"))
    assert read_groups(root) == (Group(app, 2), Group(pod, 5))


def test_version_1_counts_in_the_own_group_only(tmp_path: Path) -> None:
    kills = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"
    mount = MOUNT.format(at="/cg", kind="cgroup", options=",memory")
    root = lay(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/pod/app\n",
            "proc/self/mountinfo": mount,
            "cg/pod/app/memory.oom_control": kills,
            "cg/pod/memory.oom_control": kills,
        },
    )
    inode = (tmp_path / "cg/pod/app").stat().st_ino
    assert read_groups(root) == (Group(inode, 4),)


@pytest.mark.parametrize("text", ["", "oom_kill_disable 0\n"])
def test_an_old_kernel_counts_no_kills(tmp_path: Path, text: str) -> None:
    mount = MOUNT.format(at="/cg", kind="cgroup", options=",memory")
    files = {
        "proc/self/cgroup": "4:memory:/\n",
        "proc/self/mountinfo": mount,
        "cg/memory.oom_control": text,
    }
    assert read_groups(lay(tmp_path, files)) == ()


def test_only_records_are_found_among_the_files(tmp_path: Path) -> None:
    writer = Writer(1, 4242, BOOT)
    name = name_of(writer)
    lay(tmp_path, {name: "{}", f"{name}.tmp": "{", "notes.txt": "", "core.1": ""})
    assert sorted(record_files(str(tmp_path))) == [
        (name, writer),
        (f"{name}.tmp", writer),
    ]


def test_a_record_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_bytes(b"x" * MOST_BYTES)
    assert read_record(str(path)) == b"x" * MOST_BYTES


def test_a_disk_that_fails_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    (tmp_path / "record").write_text("{}", "ascii")
    monkeypatch.setattr(os, "fstat", fail)
    found = read_record(str(tmp_path / "record"))
    monkeypatch.undo()
    assert found == Unknown("record: Input/output error")


def test_what_is_planted_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * (MOST_BYTES + 1))
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    reasons = {
        name: found.reason
        for name in ("long", "link", "directory", "pipe", "none", "with\0nul")
        if isinstance(found := read_record(str(tmp_path / name)), Unknown)
    }
    assert reasons["long"] == "long: longer than any record"
    assert reasons["directory"] == "directory: not a plain file"
    assert reasons["pipe"] == "pipe: not a plain file"
    assert reasons["none"] == "none: No such file or directory"
    assert reasons["with\0nul"].endswith(": ValueError")
    assert "link" in reasons
