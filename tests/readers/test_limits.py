"""What limits a process and what is used of it, on machines made of files."""

from __future__ import annotations

import errno
import json
import os
import sys
from dataclasses import asdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import pytest

from leakguard._core.pressure import pressure_of
from leakguard._core.records import Unknown
from leakguard._core.samples import Limit
from leakguard._readers.cgroup import KEEP_SECONDS
from leakguard._readers.limits import MemoryReader
from tests.readers.fake_cgroups import MIB, V2_AT, Clock, FakeMachine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HIDDEN = "(no cgroup: no /proc/self/cgroup to read)"
UNSUPPORTED = Unknown(
    "unsupported: no /proc/self/cgroup to read, and the machine's memory is hidden"
)


@pytest.fixture(autouse=True)
def _no_rlimits(monkeypatch: pytest.MonkeyPatch) -> None:
    rlimit(monkeypatch)


def rlimit(
    monkeypatch: pytest.MonkeyPatch, data: int | None = None, as_: int | None = None
) -> None:
    """Let the process have these limits; the kernel's are left alone."""
    limits = {1: data, 2: as_}
    resource = SimpleNamespace(
        RLIMIT_DATA=1,
        RLIMIT_AS=2,
        RLIM_INFINITY=-1,
        getrlimit=lambda which: (-1 if limits[which] is None else limits[which], -1),
    )
    monkeypatch.setitem(sys.modules, "resource", resource)


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    machine = FakeMachine(tmp_path)
    machine.host(1024 * MIB, 1000 * MIB)
    return machine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(machine: FakeMachine, clock: Clock) -> Iterator[MemoryReader]:
    reader = MemoryReader(machine.root, clock=clock, page_size=4096)
    yield reader
    reader.close()


@pytest.fixture
def app(machine: FakeMachine) -> str:
    machine.mount(2)
    machine.join("0::/app")
    stat = (
        f"anon {30 * MIB}\ninactive_file {10 * MIB}\nactive_file {5 * MIB}\n"
        f"slab_reclaimable {MIB}"
    )
    return machine.v2("/app", usage=60 * MIB, memory__max=100 * MIB, memory__stat=stat)


@pytest.fixture
def no_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)


@pytest.mark.usefixtures("app")
def test_a_limited_group_is_read_whole(reader: MemoryReader) -> None:
    reading = reader.read()
    limit = Limit(100 * MIB, "cgroup2 /app memory.max")
    assert (reading.limit, reading.binding) == (limit, limit)
    assert reading.usage_bytes == 60 * MIB
    assert reading.inactive_file_bytes == 10 * MIB
    assert reading.working_set_bytes == 50 * MIB
    assert reading.unreclaimable_bytes == 44 * MIB
    assert reading.binding_unreclaimable_bytes == 44 * MIB
    assert pressure_of(reading).ratio == 0.44
    assert (reading.stale_seconds, reading.failed_reads) == (0.0, 0)
    assert json.dumps(reading._asdict(), default=asdict)


def test_nothing_limited_is_the_hosts_memory(
    machine: FakeMachine, reader: MemoryReader
) -> None:
    machine.mount(2)
    machine.join("0::/app")
    machine.v2("/app", usage=60 * MIB)
    reading = reader.read()
    assert reading.limit == reading.binding == Limit(1024 * MIB, "host")
    assert reading.binding_unreclaimable_bytes == 24 * MIB
    assert reading.usage_bytes == 60 * MIB


@pytest.mark.usefixtures("app")
def test_a_limit_above_host_memory_is_the_hosts(
    machine: FakeMachine, reader: MemoryReader
) -> None:
    machine.host(64 * MIB, 60 * MIB)
    assert reader.read().limit == Limit(64 * MIB, "host")


def test_protections_are_not_limits(
    machine: FakeMachine, reader: MemoryReader, app: str
) -> None:
    machine.group(app, memory__low=MIB, memory__min=MIB)
    assert reader.read().limit == Limit(100 * MIB, "cgroup2 /app memory.max")
    assert reader.read().throttle is None


def test_memory_high_is_where_it_throttles(
    machine: FakeMachine, reader: MemoryReader, app: str
) -> None:
    machine.group(app, memory__high=80 * MIB)
    reading = reader.read()
    assert reading.limit == Limit(100 * MIB, "cgroup2 /app memory.max")
    assert reading.throttle == Limit(80 * MIB, "cgroup2 /app memory.high")


def test_a_limit_changed_live_moves_the_ratio(
    machine: FakeMachine, reader: MemoryReader, app: str
) -> None:
    ratios = []
    for limit in (100, 50, 400):
        machine.group(app, memory__max=limit * MIB)
        ratios.append(pressure_of(reader.read()).ratio)
    assert ratios == [0.44, 0.88, 0.11]


def test_a_page_cache_burst_raises_usage_only(
    machine: FakeMachine, reader: MemoryReader, app: str
) -> None:
    before = reader.read()
    machine.group(
        app,
        memory__current=99 * MIB,
        memory__stat=f"inactive_file {40 * MIB}\nactive_file {14 * MIB}\n"
        f"slab_reclaimable {MIB}",
    )
    after = reader.read()
    assert after.usage_bytes == 99 * MIB
    assert after.unreclaimable_bytes == before.unreclaimable_bytes
    assert pressure_of(after).ratio == pressure_of(before).ratio


def test_tmpfs_growth_raises_unreclaimable(
    machine: FakeMachine, reader: MemoryReader, app: str
) -> None:
    stat = (machine.path / app.lstrip("/") / "memory.stat").read_text()
    machine.group(app, memory__current=80 * MIB, memory__stat=f"{stat}shmem {20 * MIB}")
    assert reader.read().unreclaimable_bytes == 64 * MIB


def test_a_growing_sibling_binds_and_is_not_us(
    machine: FakeMachine, reader: MemoryReader
) -> None:
    machine.mount(2)
    machine.join("0::/pod/me")
    machine.v2("/pod/me", usage=20 * MIB)
    machine.v2("/pod", usage=30 * MIB, memory__max=100 * MIB)
    before = reader.read()
    machine.group(f"{V2_AT}/pod", memory__current=95 * MIB)
    after = reader.read()
    assert pressure_of(before).ratio == 0.3
    assert pressure_of(after).ratio == 0.95
    assert before.unreclaimable_bytes == after.unreclaimable_bytes == 20 * MIB


@pytest.mark.usefixtures("app")
def test_pages_shared_after_a_fork_are_counted_once_by_the_group(
    machine: FakeMachine, reader: MemoryReader
) -> None:
    # Resident sizes of processes that share pages add up to more than the group uses.
    machine.write("/proc/self/statm", f"{1 << 20} {1 << 20} 0 0 0 {1 << 20} 0")
    assert reader.read().usage_bytes == 60 * MIB


def test_counters_are_those_of_the_group_that_is_there(
    machine: FakeMachine, reader: MemoryReader, app: str
) -> None:
    machine.group(app, memory__events="oom_kill 3\nmax 7")
    reading = reader.read()
    assert (reading.oom_kills, reading.limit_hits) == (3, 7)
    (machine.path / app.lstrip("/")).rename(machine.path / "gone")
    machine.v2("/app", memory__events="oom_kill 0\nmax 0")
    reader.close()
    reading = reader.read()
    assert (reading.oom_kills, reading.limit_hits) == (0, 0)


def test_swap_is_that_of_group_and_host(
    machine: FakeMachine, reader: MemoryReader, app: str
) -> None:
    machine.host(1024 * MIB, 1000 * MIB, swap_free=50 * MIB)
    machine.group(app, memory__swap__current=2 * MIB, memory__swap__max=8 * MIB)
    reading = reader.read()
    assert (reading.swap_usage_bytes, reading.swap_free_bytes) == (2 * MIB, 6 * MIB)


def test_v1_without_memsw_has_the_hosts_swap(
    machine: FakeMachine, reader: MemoryReader
) -> None:
    machine.mount(1)
    machine.join("4:memory:/app")
    machine.host(1024 * MIB, 1000 * MIB, swap_free=50 * MIB)
    machine.v1("/app", usage=MIB, memory__limit_in_bytes=10 * MIB)
    reading = reader.read()
    assert reading.limit == Limit(10 * MIB, "cgroup1 /app")
    assert reading.swap_free_bytes == 50 * MIB


def test_the_v1_sentinel_of_large_pages_is_no_limit(
    machine: FakeMachine, clock: Clock
) -> None:
    machine.mount(1)
    machine.join("4:memory:/app")
    machine.v1("/app", memory__limit_in_bytes=9223372036854710272)
    reader = MemoryReader(machine.root, clock=clock, page_size=65536)
    assert reader.read().limit == Limit(1024 * MIB, "host")
    reader.close()


# rlimits


@pytest.mark.usefixtures("app")
def test_the_lowest_rlimit_counts_with_what_the_kernel_counts_against_it(
    machine: FakeMachine, reader: MemoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write("/proc/self/statm", "20000 500 90 1 0 5000 0")
    rlimit(monkeypatch, data=30 * MIB)
    reading = reader.read()
    assert reading.limit == reading.binding == Limit(30 * MIB, "rlimit data")
    assert reading.binding_unreclaimable_bytes == 5000 * 4096
    rlimit(monkeypatch, data=200 * MIB, as_=90 * MIB)
    reading = reader.read()
    assert reading.limit == reading.binding == Limit(90 * MIB, "rlimit as")
    assert reading.binding_unreclaimable_bytes == 20000 * 4096


@pytest.mark.usefixtures("app")
def test_an_rlimit_whose_use_is_hidden_limits_but_never_binds(
    reader: MemoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    rlimit(monkeypatch, as_=9 * MIB)
    reading = reader.read()
    assert reading.limit == Limit(9 * MIB, "rlimit as")
    assert reading.binding == Limit(100 * MIB, "cgroup2 /app memory.max")


def test_a_system_without_one_of_the_rlimits_has_the_other(
    reader: MemoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    rlimit(monkeypatch, data=5)
    monkeypatch.delattr(sys.modules["resource"], "RLIMIT_AS")
    assert reader.read().limit == Limit(5, f"rlimit data {HIDDEN}")


# systems that have less


def test_with_hidden_proc_and_sys_the_host_stands_in_and_says_so(
    machine: FakeMachine, reader: MemoryReader
) -> None:
    machine.host(512 * MIB, 500 * MIB)
    reading = reader.read()
    assert reading.limit == Limit(512 * MIB, f"host {HIDDEN}")
    assert reading.usage_bytes is reading.unreclaimable_bytes is None
    assert (reading.failed_reads, reading.stale_seconds) == (0, 0.0)


def test_with_hidden_proc_an_rlimit_stands_in_and_says_so(
    reader: MemoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    rlimit(monkeypatch, data=100 * MIB)
    assert reader.read().limit == Limit(100 * MIB, f"rlimit data {HIDDEN}")


def test_macos_and_windows_have_the_memory_that_psutil_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = SimpleNamespace(total=8 << 30, available=3 << 30)
    psutil = SimpleNamespace(virtual_memory=lambda: memory)
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    monkeypatch.delattr(os, "pread")  # likewise
    reading = MemoryReader(str(tmp_path)).read()
    assert reading.limit == reading.binding == Limit(8 << 30, f"host {HIDDEN}")
    assert reading.binding_unreclaimable_bytes == 5 << 30
    assert reading.usage_bytes is reading.oom_kills is None


@pytest.mark.usefixtures("no_psutil")
def test_where_nothing_can_be_read_the_limit_is_unsupported(tmp_path: Path) -> None:
    reading = MemoryReader(str(tmp_path)).read()
    assert reading.limit == UNSUPPORTED
    assert (reading.binding, reading.throttle, reading.swap_free_bytes) == (None,) * 3
    assert pressure_of(reading).ratio is None


def test_a_psutil_that_fails_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> NoReturn:
        raise PermissionError

    psutil = SimpleNamespace(virtual_memory=refuse)
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    assert MemoryReader(str(tmp_path)).read().limit == UNSUPPORTED


@pytest.mark.usefixtures("app", "no_psutil")
def test_an_old_kernel_without_available_memory_has_a_total(
    machine: FakeMachine, reader: MemoryReader
) -> None:
    machine.write("/proc/meminfo", "MemTotal: 2048 kB\nMemFree: 1 kB")
    reading = reader.read()
    assert reading.limit == Limit(2 * MIB, "host")
    assert (reading.binding, reading.swap_free_bytes) == (None, None)


@pytest.mark.usefixtures("app")
def test_without_free_descriptors_nothing_raises(
    reader: MemoryReader, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = reader.read()
    reader._files.close()

    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", full)
    clock.seconds += 1
    stale = reader.read()
    assert stale.limit == fresh.limit
    assert (stale.stale_seconds, stale.failed_reads) == (1.0, 2)
    clock.seconds += KEEP_SECONDS
    assert reader.read().limit == Unknown(
        "unsupported: its files cannot be read: Too many open files, "
        "and the machine's memory is hidden"
    )


def test_this_process_is_read_wherever_it_runs() -> None:
    reader = MemoryReader()
    reading = reader.read()
    reader.close()
    assert isinstance(reading.limit, Limit)
    assert reading.limit.limit_bytes > MIB
    assert reading.failed_reads == 0
