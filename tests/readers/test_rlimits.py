"""The limit on a process's data: what counts against it, and where there is none."""

from __future__ import annotations

import mmap
import sys
from typing import TYPE_CHECKING

import pytest

from leakguard._core.records import Unknown
from leakguard._readers.limits import MemoryReader
from leakguard._readers.rlimits import DataLimit, Own, read_own, why_no_data_limit

if TYPE_CHECKING:
    from pathlib import Path

resource = pytest.importorskip("resource")


def statm(root: Path, text: str) -> str:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/statm").write_text(text, "ascii")
    return str(root)


def test_own_memory_is_resident_and_not_shared(tmp_path: Path) -> None:
    root = statm(tmp_path, "900 300 100 1 0 500 0\n")
    assert read_own(root, 4096) == Own(200 * 4096, 500 * 4096)


def test_shared_pages_counted_at_another_moment_are_no_debt(tmp_path: Path) -> None:
    assert read_own(statm(tmp_path, "9 3 5 1 0 5 0\n"), 1) == Own(0, 5)


@pytest.mark.parametrize("text", ["", "1 2 3", "1 2 x 4 5 6 7"])
def test_without_proc_there_is_the_resident_size(tmp_path: Path, text: str) -> None:
    own = read_own(statm(tmp_path, text))
    assert isinstance(own, Own)
    assert own.own_bytes > 1 << 20
    assert own.data_bytes is None


def test_where_nothing_can_be_read_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    own = read_own(str(tmp_path))
    assert own == Unknown(
        "unsupported: no /proc/self/statm to read, and ModuleNotFoundError"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="a file of Linux's")
def test_it_follows_what_is_touched_and_what_is_only_mapped() -> None:
    size = 32 << 20
    before = read_own()
    mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    between = read_own()
    for at in range(0, size, mmap.PAGESIZE):
        mapped[at] = 1
    after = read_own()
    mapped.close()
    assert isinstance(before, Own)
    assert isinstance(between, Own)
    assert isinstance(after, Own)
    assert before.data_bytes is not None
    assert between.data_bytes is not None
    assert between.data_bytes - before.data_bytes >= size
    assert between.own_bytes - before.own_bytes < size // 4
    assert after.own_bytes - between.own_bytes > size * 3 // 4


@pytest.mark.parametrize(
    ("system", "release", "why"),
    [
        ("linux", "6.18.5", ""),
        ("linux", "4.7-rc1", ""),
        ("linux", "4.4.0-19041-Microsoft", "unsupported: Linux 4.4.0-19041-Microsoft"),
        ("linux", "strange", ""),
        ("darwin", "24.1.0", "unsupported: a limit on data does not count all of it"),
    ],
)
def test_where_the_limit_means_something_else(
    system: str, release: str, why: str
) -> None:
    found = why_no_data_limit(system, release)
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_this_system_is_asked_by_default() -> None:
    assert (why_no_data_limit() == "") == (sys.platform == "linux")


def test_the_limit_is_set_and_taken_back() -> None:
    limit = DataLimit()
    before, most = limit.read()
    wanted = min(size for size in (1 << 42, before, most) if size is not None)
    try:
        limit.write(wanted)
        assert limit.read() == (wanted, most)
    finally:
        limit.write(before)
    assert limit.read() == (before, most)


def test_the_limit_that_leakguard_has_set_is_none_of_the_system() -> None:
    limit, ignored = DataLimit(), ["DATA"]
    before = limit.read()[0]
    reader = MemoryReader(ignores=lambda: tuple(ignored))
    try:
        limit.write(1 << 32)  # below the memory of most machines
        assert "rlimit" not in str(reader.read())
        ignored.clear()
        lowest = reader.read()
        assert "rlimit data" in str(lowest) or "cgroup" in str(lowest.limit)
    finally:
        limit.write(before)
        reader.close()
