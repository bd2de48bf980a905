"""Laws read off the looks: sites, native and resident memory, turnover."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.observe import (
    TRACER_BYTES_PER_TRACE,
    growth_rows,
    is_turnover,
    native_law,
    resident_law,
    still_calls,
)
from tests.core.builders import APP, PACKAGE, STDLIB, look, quick, row, watch

FAST, SLOW, OTHER = (APP, 41), (PACKAGE, 7), (STDLIB, 353)


# --- sites


def test_sites_that_grow_are_listed_with_the_fastest_first() -> None:
    looks = watch(
        1_000,
        {
            SLOW: lambda n: (100 * n, n),
            FAST: lambda n: (1024 * n, 2 * n),
            OTHER: lambda _n: (5 << 20, 10),
        },
    )
    rows = growth_rows(looks)
    assert [row.frame for row in rows] == [FAST, SLOW]
    assert [row.size.slope for row in rows] == pytest.approx([1024, 100])
    assert [row.blocks.slope for row in rows] == pytest.approx([2, 1])
    assert {row.size.shape for row in rows} == {"linear"}


def test_a_cache_that_has_filled_is_not_listed() -> None:
    assert not growth_rows(watch(1_000, {FAST: lambda n: (min(n, 300) * 1024, n)}))


def test_a_cache_that_is_filling_up_is_listed_as_slowing_down() -> None:
    filling = watch(1_000, {FAST: lambda n: (min(n, 600) * 1024, min(n, 600))})
    assert [row.size.shape for row in growth_rows(filling)] == ["decaying"]


def test_a_site_that_was_first_used_late_is_listed() -> None:
    looks = watch(1_000, {FAST: lambda n: (max(0, n - 700) * 1024, n)})
    assert [row.frame for row in growth_rows(looks)] == [FAST]


def test_a_site_that_let_go_of_all_is_not_listed() -> None:
    looks = watch(1_000, {FAST: lambda n: (n * 1024 if n < 900 else 0, n)})
    assert not growth_rows(looks)


@pytest.mark.parametrize(("calls", "size"), [(1_000, 256), (60_000, 600)])
def test_what_the_interpreter_scatters_is_not_listed(calls: int, size: int) -> None:
    # One object in flight, or 0.02 bytes per call, is nobody's leak.
    looks = watch(calls, {FAST: lambda n: (1000 + (size if n == calls else 0), 2)})
    assert not growth_rows(looks)


@pytest.mark.parametrize("count", [0, 1])
def test_one_look_shows_no_growth(count: int) -> None:
    assert not growth_rows(watch(1, {FAST: lambda n: (1024 * n, n)})[:count])


# --- memory that is not Python's


@quick
@given(st.integers(500, 50_000), st.integers(500, 100_000), st.integers(0, 5_000))
def test_native_memory_is_told_from_pythons(
    calls: int, native_bytes: int, python_bytes: int
) -> None:
    looks = watch(
        calls,
        {FAST: lambda n: (python_bytes * n, 3 * n)},
        native=lambda n: native_bytes * n,
    )
    found = native_law(looks)
    assert found is not None
    assert found.shape == "linear"
    # A lower bound: the tracer's cost is taken off in full.
    assert native_bytes - 40 <= found.slope <= native_bytes + 1


@quick
@given(st.integers(64, 50_000), st.integers(1, 100), st.integers(0, 112))
def test_what_tracing_costs_is_no_native_leak(
    calls: int, blocks: int, cost_bytes: int
) -> None:
    looks = [
        look(
            at.calls,
            traced_bytes=at.traced_bytes,
            traces=at.traces,
            heap_bytes=(50 << 20) + at.traced_bytes + cost_bytes * at.traces,
        )
        for at in watch(calls, {FAST: lambda n: (100 * blocks * n, blocks * n)})
    ]
    assert cost_bytes <= TRACER_BYTES_PER_TRACE
    found = native_law(looks)
    assert found is not None
    assert found.shape == "flat"


def test_a_heap_that_moves_by_some_kilobytes_stands_still() -> None:
    found = native_law(watch(1_000, {}, native=lambda n: 40 * n))
    assert found is not None
    assert found.shape == "flat"


def test_an_unread_heap_has_no_law() -> None:
    looks = watch(1_000, {FAST: lambda n: (1024 * n, n)}, native=None)
    assert native_law(looks) is None
    assert resident_law(looks) is None


def test_a_heap_that_was_unread_once_has_no_law() -> None:
    looks = watch(1_000, {})
    gap = look(looks[3].calls, heap_bytes=None, rss_bytes=None)
    assert native_law([*looks[:3], gap, *looks[4:]]) is None
    assert resident_law([*looks[:3], gap, *looks[4:]]) is None


def test_memory_mapped_beside_the_heap_is_seen_in_the_resident_size() -> None:
    looks = watch(1_000, {}, mapped=lambda n: n * 100_000)
    found = resident_law(looks)
    assert found is not None
    assert found.shape == "linear"
    assert found.slope == pytest.approx(100_000)
    native = native_law(looks)
    assert native is not None
    assert native.shape == "flat"


def test_an_unread_resident_size_has_no_law() -> None:
    assert resident_law(watch(1_000, {}, mapped=None)) is None


def test_arenas_that_come_and_go_are_no_resident_growth() -> None:
    found = resident_law(watch(1_000, {}, mapped=lambda n: n // 200 << 20))
    assert found is not None
    assert found.shape == "flat"


# --- turnover


def test_small_entries_that_replace_older_ones_are_turnover() -> None:
    looks = watch(20_000, {FAST: lambda n: (100 * n, n)}, blocks=lambda _n: 900_000)
    assert is_turnover(looks, growth_rows(looks)[0])


def test_small_entries_that_add_up_are_no_turnover() -> None:
    looks = watch(20_000, {FAST: lambda n: (100 * n, n)}, blocks=lambda n: 900_000 + n)
    assert not is_turnover(looks, growth_rows(looks)[0])


def test_a_few_small_entries_tell_nothing_about_turnover() -> None:
    looks = watch(2_000, {FAST: lambda n: (100 * n, n)}, blocks=lambda _n: 900_000)
    assert not is_turnover(looks, growth_rows(looks)[0])


def test_large_buffers_that_replace_older_ones_are_turnover() -> None:
    # What is freed elsewhere in the C heap takes as much off as is traced here.
    size = 4096
    looks = watch(2_000, {FAST: lambda n: (size * n, n)}, native=lambda n: -size * n)
    assert is_turnover(looks, growth_rows(looks)[0])


def test_large_buffers_that_add_up_are_no_turnover() -> None:
    looks = watch(2_000, {FAST: lambda n: (4096 * n, n)})
    assert not is_turnover(looks, growth_rows(looks)[0])


def test_a_megabyte_of_large_buffers_tells_nothing_about_turnover() -> None:
    size = 4096
    looks = watch(400, {FAST: lambda n: (size * n, n)}, native=lambda n: -size * n)
    assert not is_turnover(looks, growth_rows(looks)[0])


@pytest.mark.parametrize("unread", ["at the end", "everywhere"])
def test_large_buffers_are_no_turnover_where_the_heap_is_unread(unread: str) -> None:
    looks = watch(2_000, {FAST: lambda n: (4096 * n, n)})
    rows = growth_rows(looks)
    last = look(2_000, heap_bytes=None)
    if unread == "everywhere":
        looks = [look(at.calls, heap_bytes=None) for at in looks]
    assert not is_turnover([*looks[:-1], last], rows[0])


def test_turnover_is_judged_over_the_later_half() -> None:
    # The old entries are gone by half time: from there on every entry is one more.
    looks = watch(
        30_000,
        {FAST: lambda n: (100 * n, n)},
        blocks=lambda n: 900_000 + max(0, n - 13_000),
    )
    assert not is_turnover(looks, growth_rows(looks)[0])


@pytest.mark.parametrize(
    ("blocks", "calls"),
    [
        ([0, 4, 8, 12, 16, 16], 10),
        ([0, 4, 8, 12, 12, 12], 20),
        ([0, 4, 4, 12, 12, 12], 0),  # it stood still before, for half as long
        ([2, 4, 8, 12, 16, 18], 0),
    ],
)
def test_a_site_that_stands_still_for_the_first_time(
    blocks: list[int], calls: int
) -> None:
    looks = [
        look(10 * at, sites={(APP, 41): (80 * count, count)} if count else {})
        for at, count in enumerate(blocks)
    ]
    assert still_calls(looks, row()) == calls
