"""What resident memory is made of: the kernel's mappings beside the allocators' books.

Rules of this file: text and numbers in, records out. The entries and the remainder
always sum to the resident size. What cannot be told apart is ``None`` and stays in
the remainder; nothing is guessed from an average.

The kernel says in ``/proc/self/smaps`` how much of each mapping is resident. Each byte
goes to one entry:

* *mapped file*: pages of files, shared or not yet written to.
* *python*: blocks in use in pymalloc's pools, that is objects of at most 512 bytes.
  Larger ones live in the C library's malloc and count as *native*, because nothing
  tells them from the allocations of C code.
* *native*: what malloc has handed out (``psutil.heap_info``).
* *allocator free*: resident in malloc's heaps but not handed out, and the free blocks
  of pymalloc's pools.
* *other*: the rest. Thread stacks, the written pages of libraries, shared memory,
  mappings made without malloc.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from leakguard._core.records import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable

_KIB = 1024
#: glibc puts each heap of a further arena at a multiple of this (64-bit; malloc's
#: arena.c, HEAP_MAX_SIZE), in a mapping without a reservation ("nr" in VmFlags).
_HEAP_ALIGNMENT_BYTES = 64 << 20
_HEADER = re.compile(
    r"^([0-9a-f]{1,16})-([0-9a-f]{1,16}) (\S+) \S+ \S+ \S+ *(.*)$", re.MULTILINE
)
_FIELD = re.compile(r"^(Rss|Anonymous|Swap|VmFlags): *(.*)$", re.MULTILINE)
_ALLOCATOR = re.compile(r"jemalloc|mimalloc|tcmalloc")
_MUSL = re.compile(r"/(?:ld-musl-|libc\.musl-)")
_NUMBER = re.compile(r"\d{1,19}")
_STATUS = re.compile(r"^(\w+):\s*(\d{1,19})(?: kB)?$", re.MULTILINE)

#: pymalloc's pools since 3.10 (Objects/obmalloc.c, Include/internal/pycore_obmalloc.h:
#: POOL_BITS, struct pool_header, ALIGNMENT): 16 KiB, aligned to it, each beginning with
#: count, free list, two neighbours, arena, size class, high-water mark and its maximum.
POOL_BYTES = 16 << 10
POOL_HEADER = "=IIQQQIIII"
POOL_HEADER_BYTES = 48
_SIZE_CLASS_BYTES, _SIZE_CLASSES = 16, 32


class Mapping(NamedTuple):
    """One mapping of ``/proc/self/smaps``; sizes in bytes."""

    start: int
    end: int
    permissions: str
    name: str
    rss_bytes: int
    anonymous_bytes: int
    swap_bytes: int
    flags: str

    @property
    def is_anonymous(self) -> bool:
        """Whether it is private memory that may be any allocator's."""
        # Newer kernels let programs name their memory: "[anon:cpython:pymalloc]".
        unnamed = not self.name or self.name.startswith("[anon:")
        return unnamed and self.permissions == "rw-p"


@dataclass(frozen=True, slots=True)
class Residence:
    """Resident bytes by the kind of mapping they are in.

    ``malloc_bytes`` lie in the heaps of glibc's malloc; ``anonymous_bytes`` in memory
    that pymalloc, malloc's own mappings and thread stacks share; ``regions`` are the
    addresses of the latter, but for what was never touched.
    """

    rss_bytes: int
    file_bytes: int
    malloc_bytes: int
    anonymous_bytes: int
    anonymous_swap_bytes: int
    regions: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Pools:
    """What pymalloc's pools hold: bytes in use, and bytes ever touched in them."""

    used_bytes: int
    touched_bytes: int


@dataclass(frozen=True, slots=True)
class LedgerReading:
    """The ledger of a process, and what else belongs to it.

    The entries of ``ledger`` that are known and ``remainder_bytes`` sum to
    ``rss_bytes``. ``children`` counts all descendants; their ``rss`` counts shared
    pages in each of them, their ``pss`` splits them. ``unseen`` says in sentences what
    cannot be seen in this process.
    """

    ledger: Ledger
    rss_bytes: int | None
    remainder_bytes: int | None
    threads: int | None
    open_files: int | None
    children: int | None
    children_rss_bytes: int | None
    children_pss_bytes: int | None
    python_blocks: int
    allocator: str
    unseen: tuple[str, ...]


def parse_smaps(text: str) -> list[Mapping]:
    """Return the mappings of ``/proc/self/smaps``; fields it lacks are zero."""
    headers = list(_HEADER.finditer(text))
    bounds = [*(header.start() for header in headers), len(text)]
    return [
        _mapping(header, dict(_FIELD.findall(text, header.end(), end)))
        for header, end in zip(headers, bounds[1:], strict=True)
    ]


def _mapping(header: re.Match[str], fields: dict[str, str]) -> Mapping:
    start, end, permissions, name = header.groups()
    rss, anonymous, swap = (
        _kib(fields.get(field, "")) for field in ("Rss", "Anonymous", "Swap")
    )
    return Mapping(
        int(start, 16),
        int(end, 16),
        permissions,
        name,
        rss,
        min(anonymous, rss),
        swap,
        fields.get("VmFlags", ""),
    )


def _kib(text: str) -> int:
    digits = text.removesuffix(" kB")
    return int(digits) * _KIB if _NUMBER.fullmatch(digits) else 0


def parse_status(text: str) -> dict[str, int]:
    """Return the numbers of ``/proc/self/status`` by name, sizes in bytes."""
    return {
        match[1]: int(match[2]) * (_KIB if match[0].endswith(" kB") else 1)
        for match in _STATUS.finditer(text)
    }


def foreign_allocator(mappings: Iterable[Mapping]) -> str | None:
    """Return the name of the malloc loaded in place of glibc's, by its library."""
    musl = None
    for name in {mapping.name for mapping in mappings}:
        found = _ALLOCATOR.search(name)
        if found:
            return found[0]
        musl = "musl" if _MUSL.search(name) else musl
    return musl


def reside(mappings: Iterable[Mapping]) -> Residence:
    """Add the mappings up by kind."""
    rss = file = malloc = anonymous = swap = 0
    regions = []
    for mapping in mappings:
        rss += mapping.rss_bytes
        file += mapping.rss_bytes - mapping.anonymous_bytes
        if mapping.name == "[heap]" or _is_further_arena(mapping):
            malloc += mapping.anonymous_bytes
        elif mapping.is_anonymous:
            anonymous += mapping.anonymous_bytes
            swap += mapping.swap_bytes
            if mapping.anonymous_bytes:
                regions.append((mapping.start, mapping.end))
    return Residence(rss, file, malloc, anonymous, swap, tuple(regions))


def _is_further_arena(mapping: Mapping) -> bool:
    aligned = mapping.start % _HEAP_ALIGNMENT_BYTES == 0
    return mapping.is_anonymous and aligned and "nr" in mapping.flags.split()


def add_pools(headers: Iterable[tuple[int, ...]]) -> Pools:
    """Add up pool headers, as ``struct`` unpacks them by ``POOL_HEADER``.

    Any memory may be given: what is no pool is passed over. A header is known by its
    last field, which follows from its size class, and by its counts being possible.
    """
    used = touched = 0
    for count, _, _, _, _, _, size_class, high_water, maximum in headers:
        size = (size_class + 1) * _SIZE_CLASS_BYTES
        if (
            maximum == POOL_BYTES - size
            and size_class < _SIZE_CLASSES
            and POOL_HEADER_BYTES <= high_water <= POOL_BYTES
            and count * size <= POOL_BYTES - POOL_HEADER_BYTES
        ):
            used += count * size
            touched += high_water
    return Pools(used, touched)


def make_ledger(
    residence: Residence,
    *,
    shared_bytes: int,
    heap: tuple[int, int] | None,
    pools: Pools | None,
) -> Ledger:
    """Give each resident byte to one entry.

    ``shared_bytes`` is shared memory and tmpfs, which the kernel counts with files.
    ``heap`` is what malloc has handed out in its heaps and as mappings of their own;
    ``None`` if malloc is not glibc's. Memory that was handed out and never touched is
    not resident, so no entry exceeds what its mappings hold.
    """
    touched = min(pools.touched_bytes, residence.anonymous_bytes) if pools else 0
    python = min(pools.used_bytes, touched) if pools else None
    mapped_file = max(0, residence.file_bytes - shared_bytes)
    if heap is None:
        return Ledger(python_bytes=python, mapped_file_bytes=mapped_file)
    # A heap that cannot grow goes on in mappings, so what exceeds it lies there.
    room = residence.malloc_bytes + residence.anonymous_bytes - touched
    native = min(sum(heap), room)
    free = max(0, residence.malloc_bytes - heap[0]) + touched - (python or 0)
    free = min(free, room + touched - native - (python or 0))
    known = (python or 0) + native + free + mapped_file
    return Ledger(
        python_bytes=python,
        native_bytes=native,
        allocator_free_bytes=free,
        mapped_file_bytes=mapped_file,
        other_bytes=residence.rss_bytes - known,
    )


def without_mappings(status: dict[str, int], heap: tuple[int, int] | None) -> Ledger:
    """Return what can be said where ``smaps`` cannot be read."""
    anonymous = status.get("RssAnon")
    native = None if heap is None else sum(heap)
    if native is not None and anonymous is not None:
        native = min(native, anonymous)
    return Ledger(native_bytes=native, mapped_file_bytes=status.get("RssFile"))


def remainder_bytes(rss_bytes: int | None, ledger: Ledger) -> int | None:
    """Return what the known entries leave of the resident size.

    Small, of either sign, when all are known: the size was read at another moment.
    """
    if rss_bytes is None:
        return None
    entries = (
        ledger.python_bytes,
        ledger.native_bytes,
        ledger.allocator_free_bytes,
        ledger.mapped_file_bytes,
        ledger.other_bytes,
    )
    return rss_bytes - sum(entry for entry in entries if entry is not None)
