"""The ledger of real processes: known memory shows in the entry that it belongs to."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

import leakguard
from leakguard._core.ledger import Pools
from leakguard._core.records import Ledger, Unknown
from leakguard._readers import ledger, pools
from leakguard._readers.ledger import c_allocator, heap_is_visible, read_ledger
from leakguard._readers.pools import read_pools
from leakguard._readers.process import Counters

if TYPE_CHECKING:
    from collections.abc import Mapping

MB = 1_000_000
SIZE = 50 * MB
ERROR = 0.08 * SIZE

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the ledger is Linux's")
with_pymalloc = pytest.mark.skipif(
    not sys.getallocatedblocks() or heap_is_visible() is False,
    reason="needs pymalloc and glibc",
)


def differences(action: str, **environ: str) -> dict[str, float | None]:
    """Run an action in a process of its own; return by how much each entry grew."""
    code = f"""if True:
        import dataclasses, json, sys
        from leakguard._readers.ledger import read_ledger
        def look():
            found = dataclasses.asdict(read_ledger())
            return {{**found, **found["ledger"]}}
        look()  # what it imports stays
        setup = {{}}
        before = look()
        exec({dedent(action)!r}, setup)
        after = look()
        print(json.dumps([before, after]))
    """
    known = {
        name: value for name, value in os.environ.items() if name != "PYTHONMALLOC"
    }
    source = str(Path(leakguard.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=known | {"PYTHONPATH": source} | environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    before, after = json.loads(done.stdout)
    grown: dict[str, float | None] = {
        name: None if after[name] is None else after[name] - (before[name] or 0)
        for name in (*Ledger.__slots__, "rss_bytes", "remainder_bytes", "python_blocks")
    }
    check_sum(after)
    return grown


def check_sum(reading: Mapping[str, int | None]) -> None:
    entries = [reading[name] or 0 for name in Ledger.__slots__]
    assert sum(entries) + (reading["remainder_bytes"] or 0) == reading["rss_bytes"]
    if reading["other_bytes"] is not None:
        assert abs(reading["remainder_bytes"] or 0) < 2 * MB


def only(grown: Mapping[str, float | None], entry: str, size: float = SIZE) -> None:
    """Assert that one entry grew by that much, and no other by a tenth of it."""
    for name in Ledger.__slots__:
        value = grown[name]
        expected = size if name == entry else 0
        assert value is not None, name
        assert abs(value - expected) < ERROR, (name, grown)


SMALL = "kept = [(number, number) for number in range(50_000_000 // 80)]"
LARGE = "kept = [bytes(5_000) for _ in range(10_000)]"
HUGE = "kept = bytearray(b'x') * 50_000_000"
MAPPED = """
    import mmap, tempfile
    file = tempfile.TemporaryFile()
    file.truncate(50_000_000)
    kept = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    sum(kept[place] for place in range(0, 50_000_000, 4096))
"""
KEPT_BY_MALLOC = """
    kept = [bytes(5_000) for _ in range(10_200)]
    kept = kept[::51]
"""
KEPT_BY_PYMALLOC = """
    kept = [bytes(400) for _ in range(125_000)]
    kept = kept[::40]
"""
#: From calloc; looked at twice, for a look must not touch it either.
NOT_TOUCHED = """
    from leakguard._readers.ledger import read_ledger
    kept = bytes(50_000_000)
    read_ledger()
"""
SHARED = "import mmap; kept = mmap.mmap(-1, 50_000_000); kept[:] = bytes(50_000_000)"


@on_linux
@with_pymalloc
@pytest.mark.parametrize(
    ("action", "entry"),
    [
        (LARGE, "native_bytes"),
        (HUGE, "native_bytes"),
        (MAPPED, "mapped_file_bytes"),
        (KEPT_BY_MALLOC, "allocator_free_bytes"),
        (SHARED, "other_bytes"),
    ],
)
def test_memory_shows_where_it_belongs(action: str, entry: str) -> None:
    only(differences(action), entry)


@on_linux
@with_pymalloc
def test_small_objects_are_pythons() -> None:
    # 33 bytes of header and 95 of content: blocks of 128. The list is native.
    grown = differences("kept = [bytes(95) for _ in range(390_000)]")
    assert grown["python_blocks"] == pytest.approx(390_000, rel=0.01)
    assert grown["python_bytes"] == pytest.approx(390_000 * 128, rel=0.05)
    for name in ("allocator_free_bytes", "mapped_file_bytes", "other_bytes"):
        assert abs(grown[name] or 0) < ERROR, grown


@on_linux
@with_pymalloc
def test_small_objects_freed_but_kept_are_the_allocators() -> None:
    grown = differences(KEPT_BY_PYMALLOC)
    assert grown["allocator_free_bytes"] == pytest.approx(0.97 * 54 * MB, rel=0.1)
    assert abs(grown["python_bytes"] or 0) < ERROR


@on_linux
@with_pymalloc
def test_memory_never_touched_is_not_resident_nor_made_so() -> None:
    grown = differences(NOT_TOUCHED)
    assert abs(grown["rss_bytes"] or 0) < ERROR
    # What malloc has handed out but nobody touched takes the place of the rest.
    assert abs(grown["python_bytes"] or 0) < ERROR
    assert abs(grown["allocator_free_bytes"] or 0) < ERROR


@on_linux
@pytest.mark.skipif(not heap_is_visible(), reason="needs glibc's malloc")
def test_under_malloc_python_is_not_told_from_native() -> None:
    grown = differences(SMALL, PYTHONMALLOC="malloc")
    assert grown["python_bytes"] is None
    assert grown["native_bytes"] is not None
    assert grown["native_bytes"] > 0.8 * SIZE
    kept = differences(KEPT_BY_PYMALLOC, PYTHONMALLOC="malloc")
    only(kept | {"python_bytes": 0}, "allocator_free_bytes", 54 * MB)


@on_linux
@pytest.mark.parametrize("name", ["jemalloc", "mimalloc", "tcmalloc_minimal"])
def test_under_another_malloc_native_memory_is_unknown(name: str) -> None:
    library = ctypes.util.find_library(name)
    if library is None:
        pytest.skip(f"no lib{name} here")
    code = (
        "from leakguard._readers.ledger import read_ledger; kept = bytearray(10**7)\n"
    )
    code += "found = read_ledger(); print(found.allocator, found.unseen, found.ledger)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {"PYTHONPATH": str(Path(leakguard.__file__).parents[1])}
        | {"LD_PRELOAD": library},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith(name.removesuffix("_minimal"))
    assert "psutil cannot ask" in done.stdout
    assert "native_bytes=None" in done.stdout
    assert "python_bytes=None" not in done.stdout


@on_linux
def test_this_process_adds_up() -> None:
    read_ledger()  # loads what it needs
    reading = read_ledger()
    entries = {name: getattr(reading.ledger, name) for name in Ledger.__slots__}
    check_sum(
        entries
        | {"rss_bytes": reading.rss_bytes, "remainder_bytes": reading.remainder_bytes}
    )
    assert reading.threads is not None
    assert reading.threads >= 1
    assert reading.open_files
    assert reading.allocator == c_allocator()


@on_linux
def test_children_and_theirs_are_counted() -> None:
    grandchild = "import time; kept = bytearray(b'x') * 20_000_000; time.sleep(60)"
    child = f"""if True:
        import subprocess, sys
        born = subprocess.Popen([sys.executable, "-c", {grandchild!r}])
        print(born.pid, flush=True)
        sys.stdin.read()
        born.kill()
        born.wait()
    """
    before = read_ledger()
    if before.children is None:
        pytest.skip("this kernel lists no children")
    with subprocess.Popen(
        [sys.executable, "-c", child],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as born:
        assert born.stdout is not None
        assert born.stdin is not None
        pid = born.stdout.readline().strip()
        statm = Path(f"/proc/{pid}/statm")
        while int(statm.read_text().split()[1]) * 4096 < 20 * MB:
            pass
        after = read_ledger()
        born.stdin.close()
    assert after.children == before.children + 2
    assert (after.children_rss_bytes or 0) - (before.children_rss_bytes or 0) > 20 * MB
    assert (after.children_pss_bytes or 0) < (after.children_rss_bytes or 0)


def fake(root: Path, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        file = root / "proc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return str(root)


HEAP = "5555585b3000-555558aed000 rw-p 00000000 00:00 0       [heap]\n"
HEAP += "Rss: 4000 kB\nAnonymous: 4000 kB\n"
SWAPPED = "7f47bd980000-7f47bdc00000 rw-p 00000000 00:00 0\n"
SWAPPED += "Rss: 2000 kB\nAnonymous: 2000 kB\nSwap: 8 kB\n"


def test_without_proc_it_says_what_it_cannot_see(tmp_path: Path) -> None:
    reading = read_ledger(fake(tmp_path, {}))
    assert reading.ledger.python_bytes is None
    assert reading.threads is None
    assert reading.children is None
    assert reading.children_rss_bytes is None
    assert any("smaps cannot be read" in sentence for sentence in reading.unseen)
    assert any("does not list them" in sentence for sentence in reading.unseen)


def test_without_psutil_native_memory_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    reading = read_ledger(fake(tmp_path, {"self/smaps": HEAP}))
    assert reading.ledger.native_bytes is None
    assert "native memory in use: psutil cannot ask" in reading.unseen[0]
    assert not heap_is_visible()


def test_books_that_are_not_this_mallocs_are_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "read_heap", lambda: (1000, 0))
    assert not heap_is_visible()


def test_swapped_memory_is_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "read_pools", lambda _: pytest.fail("looked"))
    reading = read_ledger(fake(tmp_path, {"self/smaps": HEAP + SWAPPED}))
    assert any("swapped out" in sentence for sentence in reading.unseen)


@pytest.mark.parametrize(
    ("blocks", "found", "says"),
    [
        (0, Pools(5, 5), "PYTHONMALLOC=malloc"),
        (9, Pools(0, 0), "does not use pymalloc"),
        (9, Unknown("unsupported: no ctypes"), "Python's memory: unsupported: no"),
        (9, Pools(1000, 2000), "Python objects over 512 bytes"),
    ],
)
def test_what_is_unknown_of_python_is_said(
    blocks: int,
    found: Pools | Unknown,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counters = Counters(8_000_000, 1000, blocks, 1, None)
    monkeypatch.setattr(ledger, "read_counters", lambda: counters)
    monkeypatch.setattr(ledger, "read_pools", lambda _: found)
    text = HEAP + SWAPPED.replace("Swap: 8", "Swap: 0")
    reading = read_ledger(fake(tmp_path, {"self/smaps": text}))
    assert any(says in sentence for sentence in reading.unseen)
    known = found if blocks and isinstance(found, Pools) else None
    expected = known.used_bytes if known and known.used_bytes else None
    assert reading.ledger.python_bytes == expected


def test_hidden_and_ended_children(tmp_path: Path) -> None:
    task = "self/task/1/children"
    root = fake(
        tmp_path,
        {task: "7 8 ", "7/status": "VmRSS: 100 kB\n", "8/status": "Name: ended\n"},
    )
    reading = read_ledger(root)
    assert (reading.children, reading.children_rss_bytes) == (2, 100 << 10)
    assert reading.children_pss_bytes is None
    assert any("smaps_rollup is hidden" in sentence for sentence in reading.unseen)
    reading = read_ledger(fake(tmp_path, {"7/smaps_rollup": "Pss: 60 kB\n"}))
    assert reading.children_pss_bytes == 60 << 10


def test_a_crowd_is_not_asked(tmp_path: Path) -> None:
    crowd = " ".join(map(str, range(300)))
    reading = read_ledger(fake(tmp_path / "a", {"self/task/1/children": crowd}))
    assert reading.children == 300
    threads = {f"self/task/{number}/children": "" for number in range(300)}
    assert read_ledger(fake(tmp_path / "b", threads)).children is None


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_a_c_library_without_a_name(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_name: str) -> str:
        raise error

    monkeypatch.setattr(os, "confstr", refuse)
    assert c_allocator(str(tmp_path)) == "this C library"


@on_linux
def test_addresses_that_have_gone_are_passed_over() -> None:
    memory = ctypes.create_string_buffer(4 * 16384)
    start = ctypes.addressof(memory)
    gone = (1 << 46, (1 << 46) + 20 * 16384)
    assert read_pools([gone, (start, start + len(memory)), gone]) == Pools(0, 0)


@on_linux
def test_a_kernel_that_forbids_it_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_copy_memory", lambda *_: (-1, 1))
    found = read_pools([(0, 1 << 20)])
    assert isinstance(found, Unknown)
    assert found.reason.startswith("unsupported: pymalloc's pools cannot be read")


@on_linux
@with_pymalloc
def test_a_sample_of_the_pools_speaks_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [bytes(95) for _ in range(100_000)]
    whole = read_ledger().ledger.python_bytes
    monkeypatch.setattr(pools, "_SAMPLED_POOLS", 300)
    part = read_ledger().ledger.python_bytes
    assert whole is not None
    assert whole > len(kept) * 128
    assert part == pytest.approx(whole, rel=0.25)
