"""Resident memory divided among its owners: sums, bounds, what is not known."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.ledger import (
    POOL_BYTES,
    POOL_HEADER,
    POOL_HEADER_BYTES,
    Pools,
    Residence,
    add_pools,
    foreign_allocator,
    make_ledger,
    parse_smaps,
    parse_status,
    remainder_bytes,
    reside,
    without_mappings,
)
from leakguard._core.records import Ledger

MIB = 1 << 20

SMAPS = """\
555557b4d000-555557b6e000 r-xp 00001000 fe:00 86389           /usr/bin/python3.12
Size:                132 kB
KernelPageSize:        4 kB
Rss:                 100 kB
Pss:                  50 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me sd
555557b6e000-555557b8f000 rw-p 00021000 fe:00 86389           /usr/bin/python3.12
Rss:                  20 kB
Anonymous:            16 kB
VmFlags: rd wr mr mw me ac sd
5555585b3000-555558aed000 rw-p 00000000 00:00 0                          [heap]
Rss:                4000 kB
Anonymous:          4000 kB
VmFlags: rd wr mr mw me ac sd
7f4780000000-7f4780021000 rw-p 00000000 00:00 0
Rss:                 132 kB
Anonymous:           132 kB
VmFlags: rd wr mr mw me nr sd
7f4780021000-7f4784000000 ---p 00000000 00:00 0
Rss:                   0 kB
Anonymous:             0 kB
VmFlags: mr mw me nr sd
7f47bd980000-7f47bdc00000 rw-p 00000000 00:00 0
Rss:                2000 kB
Anonymous:          2000 kB
Swap:                  8 kB
VmFlags: rd wr mr mw me ac sd
7f47bf000000-7f47bf100000 rw-p 00000000 00:00 0             [anon:cpython:pymalloc]
Rss:                1000 kB
Anonymous:          1000 kB
VmFlags: rd wr mr mw me ac sd
7f47bf100000-7f47bf200000 rw-p 00000000 00:00 0
Rss:                   0 kB
7f47bf200000-7f47bf300000 rw-s 00000000 00:05 7  /dev/shm/with space (deleted)
Rss:                 500 kB
Anonymous:             0 kB
VmFlags: rd wr sh mr mw me ms sd
7ffddab79000-7ffddab9a000 rw-p 00000000 00:00 0                          [stack]
Rss:                  60 kB
Anonymous:            60 kB
VmFlags: rd wr mr mw me gd ac
"""
SIZES = st.integers(0, 1 << 40)


def header(count: int, size_class: int, *, high_water: int = POOL_BYTES) -> bytes:
    """Make the header of a pool, as pymalloc writes it."""
    size = (size_class + 1) * 16
    fields = (count, 0, 0, 0, 0, 7, size_class, high_water, POOL_BYTES - size)
    return struct.pack(POOL_HEADER, *fields)


def pools(*headers: bytes) -> Pools:
    return add_pools(struct.iter_unpack(POOL_HEADER, b"".join(headers)))


def total(ledger: Ledger) -> int:
    return sum(getattr(ledger, name) or 0 for name in ledger.__slots__)


def test_mappings_are_added_up_by_kind() -> None:
    residence = reside(parse_smaps(SMAPS))
    assert residence.rss_bytes == (100 + 20 + 4000 + 132 + 2000 + 1000 + 500 + 60) << 10
    assert residence.file_bytes == (100 + 4 + 500) << 10
    assert residence.malloc_bytes == (4000 + 132) << 10
    assert residence.anonymous_bytes == (2000 + 1000) << 10
    assert residence.anonymous_swap_bytes == 8 << 10
    assert residence.regions == (
        (0x7F47BD980000, 0x7F47BDC00000),
        (0x7F47BF000000, 0x7F47BF100000),
    )


def test_names_and_missing_fields_are_read() -> None:
    mappings = parse_smaps(SMAPS)
    assert mappings[0].name == "/usr/bin/python3.12"
    assert mappings[0].swap_bytes == 0
    assert mappings[8].name == "/dev/shm/with space (deleted)"
    assert [mapping.is_anonymous for mapping in mappings] == [
        *(False, False, False, True, False, True, True, True, False, False)
    ]


def test_no_mapping_holds_more_anonymous_memory_than_is_resident() -> None:
    text = "0000-1000 rw-p 0 00:00 0 \nRss: 4 kB\nAnonymous: 8 kB\nSwap: many kB\n"
    (mapping,) = parse_smaps(text)
    assert (mapping.rss_bytes, mapping.anonymous_bytes) == (4096, 4096)
    assert mapping.swap_bytes == 0


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    reside(parse_smaps(text))
    parse_status(text)


def test_only_headers_are_needed_for_the_allocators_name() -> None:
    line = "7f00-7f01 r-xp 00000000 fe:00 1 {}\n"
    for path, name in (
        ("/usr/lib/libjemalloc.so.2", "jemalloc"),
        ("/usr/lib/libmimalloc.so.2.0", "mimalloc"),
        ("/usr/lib/libtcmalloc_minimal.so.4", "tcmalloc"),
        ("/lib/ld-musl-x86_64.so.1", "musl"),
        ("/usr/lib/libc.so.6", None),
    ):
        assert foreign_allocator(parse_smaps(line.format(path))) == name
    both = line.format("/lib/ld-musl-x86_64.so.1") + line.format("/libjemalloc.so.2")
    assert foreign_allocator(parse_smaps(both)) == "jemalloc"


def test_the_status_is_read_in_bytes() -> None:
    status = parse_status(
        "Name:\tpython3\nVmRSS:\t  12 kB\nThreads:\t3\nGroups:\t0 1\n"
    )
    assert status == {"VmRSS": 12 << 10, "Threads": 3}


def test_pools_are_added_up() -> None:
    found = pools(header(100, 3), header(0, 0), header(10, 31, high_water=6000))
    assert found.used_bytes == 100 * 64 + 10 * 512
    assert found.touched_bytes == 2 * POOL_BYTES + 6000


@pytest.mark.parametrize(
    "fields",
    [
        (0, 0, 0, 0, 0, 0, 0, 0, 0),  # never touched
        (1, 0, 0, 0, 0, 0, 3, POOL_BYTES, POOL_BYTES - 63),
        (1, 0, 0, 0, 0, 0, 32, POOL_BYTES, POOL_BYTES - 33 * 16),
        (1, 0, 0, 0, 0, 0, 3, POOL_BYTES + 1, POOL_BYTES - 64),
        (1, 0, 0, 0, 0, 0, 3, POOL_HEADER_BYTES - 1, POOL_BYTES - 64),
        (300, 0, 0, 0, 0, 0, 3, POOL_BYTES, POOL_BYTES - 64),
    ],
)
def test_what_is_no_pool_is_passed_over(fields: tuple[int, ...]) -> None:
    assert pools(struct.pack(POOL_HEADER, *fields)) == Pools(0, 0)


def test_the_header_is_as_long_as_pymallocs() -> None:
    assert struct.calcsize(POOL_HEADER) == POOL_HEADER_BYTES


def test_each_byte_has_one_owner() -> None:
    residence = Residence(
        rss_bytes=200 * MIB,
        file_bytes=30 * MIB,
        malloc_bytes=50 * MIB,
        anonymous_bytes=100 * MIB,
        anonymous_swap_bytes=0,
        regions=(),
    )
    ledger = make_ledger(
        residence,
        shared_bytes=10 * MIB,
        heap=(40 * MIB, 25 * MIB),
        pools=Pools(45 * MIB, 60 * MIB),
    )
    assert ledger == Ledger(
        python_bytes=45 * MIB,
        native_bytes=65 * MIB,
        allocator_free_bytes=(50 - 40 + 60 - 45) * MIB,
        mapped_file_bytes=20 * MIB,
        other_bytes=(200 - 45 - 65 - 25 - 20) * MIB,
    )


def test_without_pools_python_is_not_told_from_native() -> None:
    residence = Residence(100, 10, 50, 40, 0, ())
    ledger = make_ledger(residence, shared_bytes=0, heap=(30, 15), pools=None)
    assert ledger.python_bytes is None
    assert ledger.native_bytes == 45
    assert ledger.allocator_free_bytes == 20
    assert total(ledger) == 100


def test_without_malloc_s_books_the_rest_stays_in_the_remainder() -> None:
    residence = Residence(100, 10, 50, 40, 0, ())
    ledger = make_ledger(residence, shared_bytes=3, heap=None, pools=Pools(20, 30))
    assert ledger == Ledger(python_bytes=20, mapped_file_bytes=7)
    assert remainder_bytes(100, ledger) == 73


def test_a_heap_that_could_not_grow_goes_on_in_mappings() -> None:
    residence = Residence(100, 0, 20, 80, 0, ())
    ledger = make_ledger(residence, shared_bytes=0, heap=(70, 0), pools=Pools(10, 10))
    assert (ledger.native_bytes, ledger.allocator_free_bytes) == (70, 0)


def test_without_mappings_files_and_malloc_are_known() -> None:
    status = {"RssAnon": 100, "RssFile": 20, "RssShmem": 5}
    assert without_mappings(status, (60, 10)) == Ledger(
        native_bytes=70, mapped_file_bytes=20
    )
    assert without_mappings(status, (600, 10)).native_bytes == 100
    assert without_mappings({}, (600, 10)) == Ledger(native_bytes=610)
    assert without_mappings({}, None) == Ledger()


def test_the_remainder_is_what_the_known_entries_leave() -> None:
    assert remainder_bytes(100, Ledger(python_bytes=30, other_bytes=90)) == -20
    assert remainder_bytes(100, Ledger()) == 100
    assert remainder_bytes(None, Ledger(python_bytes=30)) is None


@given(
    st.tuples(SIZES, SIZES, SIZES, SIZES),
    SIZES,
    st.none() | st.tuples(SIZES, SIZES),
    st.none() | st.builds(Pools, SIZES, SIZES),
)
def test_entries_are_never_negative_and_never_exceed_what_is_resident(
    kinds: tuple[int, int, int, int],
    shared: int,
    heap: tuple[int, int] | None,
    found: Pools | None,
) -> None:
    file, malloc, anonymous, rest = kinds
    rss = file + malloc + anonymous + rest
    residence = Residence(rss, file, malloc, anonymous, 0, ())
    ledger = make_ledger(residence, shared_bytes=shared, heap=heap, pools=found)
    entries = [getattr(ledger, name) for name in ledger.__slots__]
    assert all(entry is None or entry >= 0 for entry in entries)
    if heap is None:
        assert total(ledger) <= rss
    else:
        assert total(ledger) == rss
