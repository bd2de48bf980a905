"""The process's control group, on machines made of files."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from leakguard._readers.cgroup import (
    CHECK_SECONDS,
    KEEP_SECONDS,
    LOOK_SECONDS,
    CgroupReader,
    KeptFiles,
)
from tests.readers.fake_cgroups import MIB, V1_AT, V2_AT, Clock, FakeMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CLOSE, PREAD = os.close, os.pread


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(machine: FakeMachine, clock: Clock) -> Iterator[CgroupReader]:
    reader = CgroupReader(KeptFiles(machine.root), 4096, clock)
    yield reader
    reader.close()


@pytest.fixture
def vanish(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let descriptors that are open now fail, as those of a removed group do."""

    def fail(code: int) -> None:
        gone = set(open_descriptors())

        def pread(descriptor: int, size: int, offset: int) -> bytes:
            if descriptor in gone:
                raise OSError(code, os.strerror(code))
            return PREAD(descriptor, size, offset)

        def close(descriptor: int) -> None:
            gone.discard(descriptor)
            CLOSE(descriptor)

        monkeypatch.setattr(os, "pread", pread)
        monkeypatch.setattr(os, "close", close)

    return fail


def open_descriptors() -> list[int]:
    found = []
    for descriptor in range(256):
        with suppress(OSError):
            os.fstat(descriptor)
            found.append(descriptor)
    return found


def limits(reader: CgroupReader) -> list[int | None]:
    return [group.limit_bytes for group in reader.read().chain]


# where the group is


def test_a_v2_group_and_its_limited_ancestors_are_read(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(2)
    machine.join("0::/pod/app")
    machine.v2("/pod", usage=70, memory__max=90)
    machine.v2(
        "/pod/app",
        usage=50,
        memory__max=80,
        memory__high=75,
        memory__low=1,
        memory__min=1,
        memory__peak=60,
        memory__swap__current=3,
        memory__swap__max=9,
        memory__events="low 0\nhigh 2\nmax 5\noom 1\noom_kill 4\noom_group_kill 0",
    )
    groups = reader.read()
    own, pod = groups.chain
    assert (own.source, own.limit_bytes, own.high_bytes) == (
        "cgroup2 /pod/app memory.max",
        80,
        75,
    )
    assert (own.usage_bytes, own.swap_usage_bytes, own.swap_limit_bytes) == (50, 3, 9)
    assert (pod.limit_bytes, pod.usage_bytes) == (90, 70)
    assert groups.peak_usage_bytes == 60
    assert (groups.oom_kills, groups.limit_hits) == (4, 5)
    assert not groups.inexact


def test_a_v1_group_and_its_limited_ancestors_are_read(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(1, root="/docker")
    machine.join("4:memory:/docker/ab")
    machine.v1(usage=70, memory__limit_in_bytes=90)
    machine.v1(
        "/ab",
        usage=50,
        memory__soft_limit_in_bytes=1,
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3",
        memory__failcnt=17,
        memory__max_usage_in_bytes=60,
    )
    groups = reader.read()
    own, docker = groups.chain
    assert (own.source, own.limit_bytes, own.usage_bytes) == (
        "cgroup1 /docker/ab",
        None,
        50,
    )
    assert (docker.source, docker.limit_bytes) == ("cgroup1 /docker", 90)
    assert groups.peak_usage_bytes == 60
    assert (groups.oom_kills, groups.limit_hits) == (3, 17)


def test_ancestors_without_a_limit_are_left_out(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(1)
    machine.join("4:memory:/a/b/c")
    for path in ("", "/a", "/a/b", "/a/b/c"):
        machine.v1(path)
    assert limits(reader) == [None]


def test_a_v1_ancestor_that_keeps_no_hierarchy_does_not_count(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(1)
    machine.join("4:memory:/a/b/c")
    machine.v1(memory__limit_in_bytes=10)
    machine.v1("/a", memory__limit_in_bytes=20, memory__use_hierarchy=0)
    machine.v1("/a/b", memory__limit_in_bytes=30, memory__use_hierarchy=1)
    machine.v1("/a/b/c", memory__limit_in_bytes=40, memory__use_hierarchy=0)
    assert limits(reader) == [40, 30]


def test_hybrid_reads_the_hierarchy_that_has_the_memory_files(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(2, at="/sys/fs/cgroup/unified")
    machine.mount(1)
    machine.join("4:memory:/app", "0::/slice")
    machine.v1("/app", memory__limit_in_bytes=10)
    pressure = "some avg10=2.50 avg60=0.00 avg300=0.00 total=1"
    machine.group("/sys/fs/cgroup/unified/slice", memory__pressure=pressure)
    groups = reader.read()
    assert groups.chain[0].source == "cgroup1 /app"
    assert groups.pressure_some_avg10 == 2.5


def test_a_v1_mount_without_files_leaves_version_2(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(1)
    machine.mount(2)
    machine.join("4:memory:/app", "0::/app")
    machine.v2("/app", memory__max=10)
    assert reader.read().chain[0].source == "cgroup2 /app memory.max"


def test_no_cgroup_controllers_file_is_needed(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(2)
    machine.join("0::/")
    machine.group(V2_AT, memory__max=512 * MIB, memory__current=MIB)
    assert not (machine.path / "sys/fs/cgroup/cgroup.controllers").exists()
    groups = reader.read()
    assert groups.chain[0].limit_bytes == 512 * MIB
    assert not groups.inexact
    assert groups.oom_kills is groups.limit_hits is groups.pressure_some_avg10 is None


def test_a_group_without_the_controller_is_accounted_to_its_parent(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(2)
    machine.join("0::/user/session")
    machine.v2("/user", usage=9, memory__max=10)
    machine.group(f"{V2_AT}/user/session", cgroup__procs=1)
    groups = reader.read()
    assert groups.chain[0].source == "cgroup2 /user memory.max"
    assert not groups.inexact


def test_a_path_outside_the_namespace_reads_the_mount_root_inexactly(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(2)
    machine.join("0::/../other")
    machine.v2(memory__max=10)
    groups = reader.read()
    assert groups.chain[0].source == "cgroup2 / memory.max"
    assert groups.inexact


def test_a_group_that_is_out_of_sight_is_inexact(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(1)
    machine.join("4:memory:/docker/ab")
    machine.v1(memory__limit_in_bytes=10)
    groups = reader.read()
    assert (groups.chain[0].limit_bytes, groups.inexact) == (10, True)


def test_a_group_that_may_not_be_read_is_inexact(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(2)
    machine.join("0::/a")
    machine.v2(memory__max=10)
    (machine.path / "sys/fs/cgroup/a/memory.current").mkdir(parents=True)
    groups = reader.read()
    assert (groups.chain[0].limit_bytes, groups.inexact) == (10, True)


def test_colons_spaces_and_a_very_long_path_are_followed(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    path = "/a:b/c d/" + "/".join(["deep" * 20] * 40)
    machine.mount(2, at=r"/sys/fs/c\040group")
    machine.join(*(f"{n}:c{n}:{path}" for n in range(9)), f"0::{path}")
    assert (machine.path / "proc/self/cgroup").stat().st_size > 3 * 8192
    machine.group(f"/sys/fs/c group{path}", memory__current=1, memory__max=10)
    (group,) = reader.read().chain
    assert group.source == f"cgroup2 {path} memory.max"
    assert not reader.read().inexact


@pytest.mark.parametrize(
    ("mounts", "path", "why"),
    [
        ((), None, "no /proc/self/cgroup to read"),
        ((), "0::/", "no memory controller is mounted"),
        ((2,), "0::/a", f"no memory files in {V2_AT}/a"),
    ],
)
def test_without_a_group_the_reason_is_given_and_nothing_fails(
    machine: FakeMachine,
    reader: CgroupReader,
    mounts: tuple[int, ...],
    path: str | None,
    why: str,
) -> None:
    for version in mounts:
        machine.mount(version)
    if path is not None:
        machine.join(path)
    for _ in range(3):
        groups = reader.read()
        assert (groups.chain, groups.missing, groups.failed_reads) == ((), why, 0)


def test_a_path_no_file_can_have_is_only_missing(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(2, at="/cg\\000x")
    machine.join("0::/a")
    assert reader.read().missing == r"no memory files in /cg\x00x/a"


# over time


@pytest.fixture
def app(machine: FakeMachine) -> str:
    """Make one limited group of version 2, and be in it."""
    machine.mount(2)
    machine.join("0::/app")
    return machine.v2("/app", usage=5, memory__max=10)


def test_a_limit_that_is_changed_live_is_seen_at_the_next_read(
    machine: FakeMachine, reader: CgroupReader, app: str
) -> None:
    seen = []
    for limit in (10, 4, "max", 99):
        machine.group(app, memory__max=limit)
        seen += limits(reader)
    assert seen == [10, 4, None, 99]


def test_an_ancestors_limit_that_is_set_live_is_seen_at_the_next_read(
    machine: FakeMachine, reader: CgroupReader, app: str
) -> None:
    machine.v2()
    assert limits(reader) == [10]
    machine.group(V2_AT, memory__max=7)
    assert limits(reader) == [10, 7]
    assert app


@pytest.mark.parametrize("code", [errno.ENODEV, errno.ENOENT, errno.EIO])
def test_a_file_that_vanishes_is_looked_up_once_more(
    machine: FakeMachine,
    reader: CgroupReader,
    app: str,
    vanish: Callable[[int], None],
    code: int,
) -> None:
    reader.read()
    shutil.rmtree(machine.path / app.lstrip("/"))
    machine.join("0::/new")
    machine.v2("/new", usage=6, memory__max=20)
    vanish(code)
    groups = reader.read()
    assert [group.limit_bytes for group in groups.chain] == [20]
    assert (groups.failed_reads, groups.stale_seconds) == (1, 0.0)


@pytest.mark.usefixtures("app")
def test_values_that_cannot_be_read_are_kept_for_a_while_and_counted(
    machine: FakeMachine,
    reader: CgroupReader,
    clock: Clock,
    vanish: Callable[[int], None],
) -> None:
    fresh = reader.read()
    vanish(errno.ENODEV)
    shutil.rmtree(machine.path / "sys")
    clock.seconds += 2
    stale = reader.read()
    assert stale.chain == fresh.chain
    assert stale.stale_seconds == 2
    assert stale.failed_reads == 2  # before and after looking again
    clock.seconds += KEEP_SECONDS - 2
    assert reader.read().stale_seconds == KEEP_SECONDS
    clock.seconds += 1
    gone = reader.read()
    assert (gone.chain, gone.missing) == ((), f"no memory files in {V2_AT}/app")
    assert gone.failed_reads == 3


@pytest.mark.usefixtures("app")
def test_after_a_suspend_no_old_value_is_shown(
    machine: FakeMachine, reader: CgroupReader, clock: Clock
) -> None:
    reader.read()
    shutil.rmtree(machine.path / "sys")
    (machine.path / "proc/self/cgroup").unlink()
    reader._files.close()
    clock.seconds += 3600
    assert reader.read().chain == ()


@pytest.mark.usefixtures("app")
def test_what_comes_back_is_fresh_again(
    machine: FakeMachine,
    reader: CgroupReader,
    clock: Clock,
    vanish: Callable[[int], None],
) -> None:
    reader.read()
    vanish(errno.ENODEV)
    hidden = machine.path / "hidden"
    (machine.path / "sys").rename(hidden)
    assert reader.read().stale_seconds == 0
    hidden.rename(machine.path / "sys")
    clock.seconds += CHECK_SECONDS
    groups = reader.read()
    assert (limits(reader), groups.stale_seconds) == ([10], 0)


def test_a_process_moved_to_another_group_is_noticed(
    machine: FakeMachine, reader: CgroupReader, clock: Clock, app: str
) -> None:
    assert limits(reader) == [10]
    before = len(open_descriptors())
    machine.v2("/other", memory__max=30)
    machine.join("0::/other")
    assert limits(reader) == [10]
    clock.seconds += CHECK_SECONDS
    assert limits(reader) == [30]
    assert len(open_descriptors()) == before
    assert app


@pytest.mark.usefixtures("app")
def test_a_process_that_was_not_moved_keeps_its_descriptors(
    reader: CgroupReader, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        assert limits(reader) == [10]
        clock.seconds += CHECK_SECONDS
    monkeypatch.setattr(os, "open", None)
    assert limits(reader) == [10]


def test_a_first_limit_set_live_on_a_unit_is_found(
    machine: FakeMachine, reader: CgroupReader, clock: Clock
) -> None:
    machine.mount(2)
    machine.join("0::/user/unit")
    machine.v2("/user")
    machine.group(f"{V2_AT}/user/unit", cgroup__procs=1)
    assert limits(reader) == [None]
    machine.v2("/user/unit", memory__max=20)
    clock.seconds += LOOK_SECONDS
    assert limits(reader) == [20]


@pytest.mark.usefixtures("app")
def test_a_clock_that_jumps_back_only_looks_again(
    machine: FakeMachine, reader: CgroupReader, clock: Clock
) -> None:
    reader.read()
    machine.v2("/other", memory__max=30)
    machine.join("0::/other")
    clock.seconds -= 500
    groups = reader.read()
    assert (groups.chain[0].limit_bytes, groups.stale_seconds) == (30, 0)


@pytest.mark.usefixtures("app")
def test_without_free_descriptors_the_reason_is_given(
    reader: CgroupReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", full)
    groups = reader.read()
    assert groups.missing == "its files cannot be read: Too many open files"
    assert groups.failed_reads == 1
    monkeypatch.undo()
    assert limits(reader) == [10]


# pressure


@pytest.mark.usefixtures("app")
def test_the_groups_own_pressure_comes_before_the_machines(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.write("/proc/pressure/memory", "some avg10=1.00 avg60=0.00 total=5")
    assert reader.read().pressure_some_avg10 == 1.0
    reader.close()
    machine.write(
        f"{V2_AT}/app/memory.pressure",
        "some avg10=7.00 avg60=0.00 total=5\nfull avg10=3.00 avg60=0.00 total=5",
    )
    groups = reader.read()
    assert (groups.pressure_some_avg10, groups.pressure_full_avg10) == (7.0, 3.0)


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_pressure_that_is_switched_off_is_absent_and_no_failure(
    machine: FakeMachine,
    reader: CgroupReader,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    machine.write("/proc/pressure/memory", "")
    off = machine.path / "proc/pressure/memory"

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if os.path.sameopenfile(descriptor, os.open(off, os.O_RDONLY)):
            raise OSError(code, os.strerror(code))
        return PREAD(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    groups = reader.read()
    assert groups.pressure_some_avg10 is groups.pressure_full_avg10 is None
    assert (groups.chain[0].limit_bytes, groups.failed_reads) == (10, 0)


# descriptors


def test_descriptors_are_kept_and_closed(
    reader: CgroupReader, machine: FakeMachine
) -> None:
    machine.mount(1)
    machine.join("4:memory:/")
    machine.v1(memory__limit_in_bytes=3)
    before = open_descriptors()
    reader.read()
    kept = open_descriptors()
    reader.read()
    assert len(kept) > len(before)
    assert open_descriptors() == kept
    assert not any(os.get_inheritable(fd) for fd in set(kept) - set(before))
    reader.close()
    assert open_descriptors() == before
    assert limits(reader) == [3]  # opened anew


@pytest.mark.usefixtures("app")
def test_a_descriptor_that_became_somebody_elses_is_not_closed(
    reader: CgroupReader, machine: FakeMachine
) -> None:
    before = set(open_descriptors())
    reader.read()
    ours = sorted(set(open_descriptors()) - before)
    with (machine.path / "theirs").open("w") as theirs:
        for descriptor in ours:
            os.dup2(theirs.fileno(), descriptor)
        os.close(ours[0])
        reader.close()
        assert set(ours[1:]) <= set(open_descriptors())
        for descriptor in ours[1:]:
            os.close(descriptor)


@pytest.mark.usefixtures("app")
def test_after_a_fork_the_child_opens_its_own(
    machine: FakeMachine, reader: CgroupReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = os.getpid()
    assert limits(reader) == [10]
    machine.v2("/child", memory__max=30)
    # What is open still shows the parent's text, as /proc/self does.
    (machine.path / "proc/self/cgroup").unlink()
    machine.join("0::/child")
    assert limits(reader) == [10]
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert limits(reader) == [30]


def test_a_file_longer_than_one_piece_is_read_to_its_end(tmp_path: Path) -> None:
    files = KeptFiles(str(tmp_path))
    for length in (0, 1, 8191, 8192, 8193, 16384, 40000):
        (tmp_path / f"f{length}").write_text("x" * length)
        assert len(files.text(f"/f{length}")) == length
    assert files.text("/none") == files.whole("/none") == ""
    files.close()


def test_the_group_may_be_mounted_at_the_root_of_all(
    machine: FakeMachine, reader: CgroupReader
) -> None:
    machine.mount(1, at=V1_AT)
    machine.mount(1, root="/app", at="/cg")
    machine.join("4:memory:/app")
    machine.group("/cg", memory__usage_in_bytes=1, memory__limit_in_bytes=12)
    assert limits(reader) == [12]
