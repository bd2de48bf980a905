"""Counters of this process; what cannot be read is None."""

from __future__ import annotations

import gc
import os
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import psutil
import pytest

from leakguard._readers.process import (
    available_bytes,
    collects_automatically,
    read_counters,
    trim_heap,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


def test_nothing_is_known_without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    counters = read_counters()
    assert counters.rss_bytes is None
    assert counters.heap_bytes is None
    assert counters.python_blocks > 0
    assert available_bytes() is None
    assert trim_heap() is False


def test_what_the_machine_hides_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "Process", _refuse)
    monkeypatch.setattr(psutil, "virtual_memory", _refuse)
    monkeypatch.setattr(psutil, "heap_info", _refuse, raising=False)
    monkeypatch.setattr(psutil, "heap_trim", _refuse, raising=False)
    monkeypatch.setattr(os, "listdir", _refuse)
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
