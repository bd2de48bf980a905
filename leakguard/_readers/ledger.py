"""The ledger of this process, with its threads, files and children.

Rules of this file: read rarely (milliseconds, see ``read_ledger``); what is read at
every tick is in ``process``. What cannot be read is ``None`` and said in ``unseen``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from leakguard._core.ledger import (
    LedgerReading,
    Pools,
    foreign_allocator,
    make_ledger,
    parse_smaps,
    parse_status,
    remainder_bytes,
    reside,
    without_mappings,
)
from leakguard._core.records import Unknown
from leakguard._readers.pools import read_pools
from leakguard._readers.process import read_counters, read_heap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leakguard._core.ledger import Residence

_PROBE_BYTES = 300_000
_PROBES = 3
#: More processes or threads than this are not asked: each costs some 0.1 ms.
_MOST_ASKED = 256


def read_ledger(root: str = "/") -> LedgerReading:
    """Read what resident memory is made of.

    Cost: 3 ms in a small process, 15 ms at 300 MB, and 10 to 20 ms for each further
    GB: the kernel walks the page tables, without the GIL. 0.1 ms for each child.
    Error: Python's part is a sample above 64 MiB, within 2 % of what pymalloc holds.
    """
    heap = _handed_out()
    status = parse_status(read_text(root, "proc/self/status") or "")
    mappings = parse_smaps(read_text(root, "proc/self/smaps") or "")
    counters = read_counters()  # right after, for a small remainder
    allocator = _name(foreign_allocator(mappings))
    pools = _pools(residence := reside(mappings), counters.python_blocks)
    if mappings:
        known = pools if isinstance(pools, Pools) else None
        shared_bytes = status.get("RssShmem", 0)
        ledger = make_ledger(
            residence, shared_bytes=shared_bytes, heap=heap, pools=known
        )
    else:
        ledger = without_mappings(status, heap)
    children, rss, pss = _children_sizes(root)
    return LedgerReading(
        ledger=ledger,
        rss_bytes=counters.rss_bytes,
        remainder_bytes=remainder_bytes(counters.rss_bytes, ledger),
        threads=status.get("Threads"),
        open_files=counters.open_files,
        children=children,
        children_rss_bytes=rss,
        children_pss_bytes=pss,
        python_blocks=counters.python_blocks,
        allocator=allocator,
        unseen=tuple(_unseen(heap, allocator, pools, rss, pss)),
    )


def _unseen(
    heap: tuple[int, int] | None,
    allocator: str,
    pools: Pools | Unknown,
    children_rss_bytes: int | None,
    children_pss_bytes: int | None,
) -> Iterator[str]:
    """Yield what the ledger cannot see, and why."""
    if heap is None:
        yield f"native memory in use: psutil cannot ask {allocator} for it"
    if isinstance(pools, Unknown):
        yield f"Python's memory: {pools.reason}"
    else:
        yield "Python objects over 512 bytes: they are part of native, from malloc"
    if children_rss_bytes is None:
        yield "child processes: /proc does not list them"
    elif children_pss_bytes is None:
        yield "memory shared among child processes: smaps_rollup is hidden"


def c_allocator(root: str = "/") -> str:
    """Return whose malloc this is: ``"glibc 2.36"``, ``"jemalloc"``, ``"musl"``.

    Known by the libraries loaded; one linked into the interpreter has no name there.
    """
    return _name(
        foreign_allocator(parse_smaps(read_text(root, "proc/self/maps") or ""))
    )


def heap_is_visible() -> bool:
    """Return whether psutil can read what malloc has handed out."""
    return _handed_out() is not None


def read_text(root: str, path: str) -> str | None:
    """Return the text of a small file, its path being below ``root``."""
    try:
        whole = os.path.join(root, path.lstrip("/"))
        with open(whole, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (OSError, ValueError):
        return None


def _name(foreign: str | None) -> str:
    if foreign is not None:
        return foreign
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "this C library"
    except (AttributeError, OSError, ValueError):
        return "this C library"


def _handed_out() -> tuple[int, int] | None:
    """Return what malloc has handed out, if the books that psutil reads are its own.

    They are glibc's even where Python allocates from elsewhere, so it is tried out;
    more than once, because another thread may free as much at the same moment.
    """
    for _ in range(_PROBES):
        before = read_heap()
        probe = bytearray(_PROBE_BYTES)
        after = read_heap()
        if before is None or after is None:
            return None
        # Not all of it: what the first look itself has used is freed by then.
        if sum(after) - sum(before) >= len(probe) // 2:
            return before
    return None


def _pools(residence: Residence, python_blocks: int) -> Pools | Unknown:
    if not residence.rss_bytes:
        return Unknown("unsupported: /proc/self/smaps cannot be read")
    if not python_blocks:
        return Unknown("PYTHONMALLOC=malloc puts it all into malloc, see native")
    if residence.anonymous_swap_bytes:
        return Unknown("part of it is swapped out, and a look would bring it back")
    pools = read_pools(residence.regions)
    if isinstance(pools, Pools) and not pools.used_bytes:
        return Unknown("unsupported: this interpreter does not use pymalloc")
    return pools


def _descendants(root: str) -> list[str] | None:
    """Return the ids of the children and of theirs, ``None`` if they are hidden."""
    found = _children(root, "self")
    if found is None:
        return None
    for pid in found:  # it grows while we go
        if len(found) >= _MOST_ASKED:
            break
        found += _children(root, pid) or []
    return found


def _children(root: str, pid: str) -> list[str] | None:
    folder = os.path.join("proc", pid, "task")
    try:
        threads = os.listdir(os.path.join(root, folder))
    except OSError:
        return None
    if len(threads) > _MOST_ASKED:
        return None
    # A child is listed with the thread that started it.
    lists = [
        read_text(root, os.path.join(folder, name, "children")) for name in threads
    ]
    known = [text for text in lists if text is not None]
    return " ".join(known).split() if known else None


def _children_sizes(root: str) -> tuple[int | None, int | None, int | None]:
    """Return the number of descendants and their summed RSS and PSS.

    Without PSS if it is hidden for one of them.
    """
    pids = _descendants(root)
    if pids is None:
        return None, None, None
    rss_total, pss_total, hidden = 0, 0, False
    for pid in pids:
        status = parse_status(read_text(root, f"proc/{pid}/status") or "")
        rollup = parse_status(read_text(root, f"proc/{pid}/smaps_rollup") or "")
        rss = status.get("VmRSS", 0)  # none: it has ended
        rss_total += rss
        pss_total += rollup.get("Pss", 0)
        hidden = hidden or (rss > 0 and "Pss" not in rollup)
    return len(pids), rss_total, None if hidden else pss_total
