"""The reader beside a real kernel, in memory groups of version 1 of our own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leakguard._core.samples import Limit, Reading
from leakguard._readers.limits import MemoryReader
from tests.kernel_groups import JOIN, MIB, make_group, write

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def watch(mount_point: Path, tmp_path: Path) -> Iterator[MemoryReader]:
    """Return a reader that takes the group in ``tmp_path/group`` for its own."""
    proc = tmp_path / "proc/self"
    proc.mkdir(parents=True)
    for name in ("mountinfo", "statm"):
        (proc / name).symlink_to(f"/proc/self/{name}")
    (tmp_path / "proc/meminfo").symlink_to("/proc/meminfo")
    seen = tmp_path / str(mount_point).lstrip("/")
    seen.parent.mkdir(parents=True)
    seen.symlink_to(mount_point)
    reader = MemoryReader(str(tmp_path))
    yield reader
    reader.close()


@pytest.fixture
def own(group: Path, mount_point: Path, tmp_path: Path, watch: MemoryReader) -> Path:
    """Let the watching reader take the test's group for its own."""
    path = f"/{group.relative_to(mount_point)}"
    (tmp_path / "proc/self/cgroup").write_text(f"4:memory:{path}\n", "ascii")
    assert watch.read().usage_bytes is not None
    return group


def run_in(group: Path, code: str, *arguments: str) -> str:
    """Run the code in the group and return what it prints."""
    command = [sys.executable, "-c", JOIN + code, str(group), *arguments]
    return subprocess.check_output(command, text=True, timeout=60)


def unreclaimable(reading: Reading) -> int:
    assert reading.unreclaimable_bytes is not None
    return reading.unreclaimable_bytes


READ = """
import json
from dataclasses import asdict
from leakguard._readers.limits import MemoryReader
reader = MemoryReader()
def show():
    print(json.dumps(reader.read()._asdict(), default=asdict))
show()
"""


@pytest.mark.privileged
def test_a_process_reads_the_limit_it_lives_under(group: Path) -> None:
    write(group / "memory.limit_in_bytes", 128 * MIB)
    reading = json.loads(run_in(group, f"kept = b'x' * {8 * MIB}" + READ))
    assert reading["limit"]["limit_bytes"] == 128 * MIB
    assert reading["limit"]["source"] == f"cgroup1 /{group.name}"
    used = reading["unreclaimable_bytes"]
    assert used <= reading["peak_usage_bytes"] < 128 * MIB
    assert 8 * MIB <= used <= reading["usage_bytes"] < 128 * MIB
    assert reading["failed_reads"] == 0
    assert not reading["inexact"]


@pytest.mark.privileged
def test_a_nested_group_has_the_limit_of_its_parent(group: Path) -> None:
    write(group / "memory.limit_in_bytes", 96 * MIB)
    inner = make_group(group)
    reading = json.loads(run_in(inner, READ))
    assert reading["limit"] == {
        "limit_bytes": 96 * MIB,
        "source": f"cgroup1 /{group.name}",
    }
    assert reading["binding"] == reading["limit"]


@pytest.mark.privileged
def test_a_limit_changed_live_is_seen_at_the_next_read(
    own: Path, watch: MemoryReader
) -> None:
    seen = []
    for limit in (64 * MIB, 32 * MIB, 256 * MIB):
        write(own / "memory.limit_in_bytes", limit)
        reading = watch.read()
        assert isinstance(reading.limit, Limit)
        seen.append(reading.limit.limit_bytes)
    assert seen == [64 * MIB, 32 * MIB, 256 * MIB]


@pytest.mark.privileged
def test_a_moved_process_and_its_fork_see_their_own_groups(group: Path) -> None:
    first, second, third = (make_group(group) for _ in range(3))
    for limit, inner in zip((80, 90, 100), (first, second, third), strict=True):
        write(inner / "memory.limit_in_bytes", limit * MIB)
    code = """
import time
from leakguard._readers.limits import MemoryReader
now = [0.0]
reader = MemoryReader(clock=lambda: now[0])
def show():
    print(reader.read().limit.limit_bytes >> 20, flush=True)
show()
join(sys.argv[2])
now[0] += 60
show()
child = os.fork()
if child == 0:
    join(sys.argv[3])
    show()
    os._exit(0)
os.waitpid(child, 0)
show()
"""
    shown = run_in(first, code, str(second), str(third))
    assert shown.split() == ["80", "90", "100", "90"]


@pytest.mark.privileged
def test_a_removed_group_is_looked_up_again(group: Path) -> None:
    first, second = make_group(group), make_group(group)
    write(second / "memory.limit_in_bytes", 90 * MIB)
    code = """
from leakguard._readers.limits import MemoryReader
reader = MemoryReader(clock=lambda: 0.0)
reader.read()
join(sys.argv[2])
os.rmdir(group)
reading = reader.read()
print(reading.limit.limit_bytes >> 20, reading.failed_reads, reading.stale_seconds)
"""
    assert run_in(first, code, str(second)).split() == ["90", "1", "0.0"]


@pytest.mark.privileged
def test_a_child_killed_for_memory_is_in_the_counter(
    own: Path, watch: MemoryReader
) -> None:
    write(own / "memory.limit_in_bytes", 48 * MIB)
    with suppress(OSError):  # where swap is accounted
        write(own / "memory.memsw.limit_in_bytes", 48 * MIB)
    before = watch.read()
    eat = JOIN + "kept = bytearray(96 << 20)\nkept[::4096] = b'x' * len(kept[::4096])"
    shell = 'trap "" TERM; "$@"; exit $?'
    command = ["sh", "-c", shell, "sh", sys.executable, "-c", eat, str(own)]
    ended = subprocess.run(command, check=False, timeout=60, capture_output=True)
    assert ended.returncode == 137
    after = watch.read()
    assert before.oom_kills is not None
    assert after.oom_kills == before.oom_kills + 1
    assert after.stale_seconds == 0


@pytest.mark.privileged
def test_a_limit_that_the_kernel_refuses_does_not_pass_for_set(
    own: Path, watch: MemoryReader
) -> None:
    before = watch.read().limit
    with pytest.raises(OSError):  # noqa: PT011 - which one is the kernel's affair
        write(own / "memory.limit_in_bytes", "much")
    assert watch.read().limit == before


@pytest.mark.privileged
def test_a_burst_of_page_cache_does_not_raise_unreclaimable(
    own: Path, watch: MemoryReader, tmp_path: Path
) -> None:
    write(own / "memory.limit_in_bytes", 128 * MIB)
    before = watch.read()
    code = "open(sys.argv[2], 'wb').write(bytes(40 << 20))"
    burst = tmp_path / "burst"
    run_in(own, code, str(burst))
    after = watch.read()
    burst.unlink()
    assert before.usage_bytes is not None
    assert after.usage_bytes is not None
    if after.usage_bytes - before.usage_bytes < 30 * MIB:
        pytest.skip("this file system keeps no page cache")
    assert abs(unreclaimable(after) - unreclaimable(before)) < 8 * MIB


@pytest.mark.privileged
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no tmpfs at /dev/shm")
def test_growth_of_tmpfs_raises_unreclaimable_once(
    own: Path, watch: MemoryReader
) -> None:
    before = watch.read()
    file = Path(f"/dev/shm/{own.name}")
    try:
        run_in(own, "open(sys.argv[2], 'wb').write(bytes(24 << 20))", str(file))
        grown = unreclaimable(watch.read()) - unreclaimable(before)
    finally:
        file.unlink(missing_ok=True)
    assert 23 * MIB < grown < 32 * MIB
