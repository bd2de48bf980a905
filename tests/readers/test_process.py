"""Counters of this process; what cannot be read is None."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import psutil
import pytest

from leakguard._readers import process
from leakguard._readers.process import (
    Statm,
    available_bytes,
    collects_automatically,
    read_counters,
    trim_heap,
    waiting_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def _refuse(*_: object) -> NoReturn:
    raise OSError


@pytest.fixture
def collector() -> Iterator[None]:
    """Put the collector's settings back."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.enable()


def test_counters_are_those_of_this_process() -> None:
    counters = read_counters()
    assert counters.rss_bytes is not None
    assert counters.rss_bytes > 1_000_000
    assert counters.python_blocks > 10_000
    assert counters.threads == threading.active_count()


def test_counters_follow_what_the_process_does(tmp_path: Path) -> None:
    before = read_counters()
    kept = [[number] for number in range(20_000)]
    with (tmp_path / "log").open("w"):
        after = read_counters()
    assert after.python_blocks - before.python_blocks >= len(kept)
    if before.open_files is None or after.open_files is None:
        pytest.skip("no /proc here")
    assert after.open_files == before.open_files + 1


@pytest.mark.skipif(not hasattr(psutil, "heap_info"), reason="no heap_info here")
def test_the_heap_counts_large_and_small_chunks_of_malloc() -> None:
    before = read_counters().heap_bytes
    kept = bytearray(3_000_000), [bytearray(5_000) for _ in range(100)]
    after = read_counters().heap_bytes
    assert before is not None
    assert after is not None
    assert after - before >= len(kept[0]) + 100 * 5_000


def test_the_resident_size_needs_no_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path(process._STATM).exists():
        pytest.skip("no /proc here")
    known = psutil.Process().memory_info().rss
    monkeypatch.setitem(sys.modules, "psutil", None)
    size = read_counters().rss_bytes
    assert size is not None
    assert abs(size - known) < 5_000_000


def test_without_proc_psutil_knows_the_resident_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "_statm", Statm("/no/such/file"))
    size = read_counters().rss_bytes
    assert size is not None
    assert size > 1_000_000


def test_the_kept_file_is_opened_once_and_again_in_a_child(tmp_path: Path) -> None:
    statm = tmp_path / "statm"
    statm.write_text("9 3 1 1 0 1 0\n")
    kept = Statm(str(statm))
    page = os.sysconf("SC_PAGE_SIZE")
    assert kept.rss_bytes() == 3 * page
    opened = kept._opened
    assert kept.rss_bytes() == 3 * page
    assert kept._opened == opened
    assert opened is not None
    kept._opened = (os.getpid() + 1, opened[1])  # as it is after a fork
    assert kept.rss_bytes() == 3 * page
    assert kept._opened is not None
    assert kept._opened != opened
    for descriptor in (opened[1], kept._opened[1]):
        os.close(descriptor)


def test_a_descriptor_closed_behind_us_is_opened_again(tmp_path: Path) -> None:
    statm = tmp_path / "statm"
    statm.write_text("9 3 1 1 0 1 0\n")
    kept = Statm(str(statm))
    assert kept.rss_bytes()
    assert kept._opened is not None
    os.close(kept._opened[1])
    assert kept.rss_bytes() == 3 * os.sysconf("SC_PAGE_SIZE")
    os.close(kept._opened[1])


@pytest.mark.parametrize("text", ["", "1 2 3", "a b c d e f g"])
def test_another_file_in_its_place_is_nothing(text: str, tmp_path: Path) -> None:
    statm = tmp_path / "statm"
    statm.write_text(text)
    kept = Statm(str(statm))
    before = read_counters().open_files
    assert kept.rss_bytes() is None
    assert read_counters().open_files == before


def test_after_a_fork_the_child_reads_its_own_size() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    code = """if True:
        import os
        from leakguard._readers.process import read_counters
        read_counters()
        if not os.fork():
            # A child begins without the pages of files that its parent has mapped.
            before = read_counters().rss_bytes
            kept = bytearray(b"x") * 30_000_000
            os._exit(0 if read_counters().rss_bytes - before > 25_000_000 else 1)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_nothing_is_known_without_psutil_and_proc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setattr(process, "_statm", Statm("/no/such/file"))
    counters = read_counters()
    assert counters.rss_bytes is None
    assert counters.heap_bytes is None
    assert counters.python_blocks > 0
    assert available_bytes() is None
    assert trim_heap() is False


def test_what_the_machine_hides_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_statm", Statm("/no/such/file"))
    monkeypatch.setattr(process, "_OPEN_FILES", "/no/such/folder")
    monkeypatch.setattr(psutil, "Process", _refuse)
    monkeypatch.setattr(psutil, "virtual_memory", _refuse)
    monkeypatch.setattr(psutil, "heap_info", _refuse, raising=False)
    monkeypatch.setattr(psutil, "heap_trim", _refuse, raising=False)
    counters = read_counters()
    assert counters.rss_bytes is None
    assert counters.heap_bytes is None
    assert counters.open_files is None
    assert available_bytes() is None
    assert trim_heap() is False


def test_the_hosts_free_memory_is_known() -> None:
    free = available_bytes()
    assert free is not None
    assert free > 0


def test_free_memory_is_given_back_where_the_c_library_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    able = SimpleNamespace(heap_trim=lambda: asked.append(1))
    monkeypatch.setitem(sys.modules, "psutil", able)  # type: ignore[arg-type]
    assert trim_heap() is True
    assert asked == [1]
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace())  # type: ignore[arg-type]
    assert trim_heap() is False


@pytest.mark.usefixtures("collector")
def test_whether_the_collector_runs_by_itself_is_known() -> None:
    assert collects_automatically()
    gc.disable()
    assert not collects_automatically()
    gc.enable()
    gc.set_threshold(0)
    assert not collects_automatically()


def test_threads_that_were_ready_and_had_no_processor(tmp_path: Path) -> None:
    tasks = tmp_path / "proc/self/task"
    for task, told in (("7", "900 1500000000 3"), ("8", "0 500000000 1"), ("9", "?")):
        (tasks / task).mkdir(parents=True)
        (tasks / task / "schedstat").write_text(told)
    (tasks / "10").mkdir()
    assert waiting_seconds(f"{tmp_path}/") == 2.0
    assert waiting_seconds(f"{tmp_path}/missing/") == 0.0
    assert waiting_seconds() >= 0.0
