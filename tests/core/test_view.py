"""The columns seen together: what of the growth is memory in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from leakguard._core.history import columns_of
from leakguard._core.pace import rate_of
from leakguard._core.view import (
    MOST_BLOCK_BYTES,
    USUAL_BLOCK_BYTES,
    View,
    leak_rate,
    view_of,
)
from tests.core.memories import (
    COUNT,
    MIB,
    PERIOD_SECONDS,
    counts,
    history,
    level,
    rising,
    swinging,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = COUNT * PERIOD_SECONDS
#: One size for all blocks that are made here.
BLOCKS = 40 * MIB // 400


def view(
    resident: Sequence[int | None] | None, **columns: Sequence[int | None]
) -> View:
    found = columns_of(history(resident, **columns))
    assert found is not None
    return view_of(found)


def blocks(many: int) -> list[int]:
    """Return a count of blocks that rises by so many."""
    return counts(lambda at: 50_000 + many * at / COUNT)


def test_columns_that_are_not_recorded_have_no_shape() -> None:
    found = view(level())
    assert (found.heap, found.blocks, found.outside) == (None, None, None)
    assert (found.heap_grown, found.arenas_grown) == (0, 0)
    assert not found.live_keeps


def test_load_is_taken_out_of_what_the_process_holds_but_not_of_the_level() -> None:
    load = swinging(40, period=20, high=8)
    found = view(level(load), in_flight=[int(n) for n in load])
    assert found.level.swing > 39 * MIB
    assert found.resident.swing < MIB


def test_growth_that_is_little_of_a_large_process_is_flat() -> None:
    assert view(level(rising(4))).resident.law == "rising"
    assert view(level(rising(4), base=1000)).resident.law == "flat"


# What Python's blocks explain beyond the C heap


def test_blocks_of_usual_size_explain_what_the_heap_does_not() -> None:
    found = view(
        level(rising(40)), in_use_bytes=level(base=30), python_blocks=blocks(BLOCKS)
    )
    assert found.arenas_grown == found.resident.risen - found.heap_grown
    assert found.live_keeps


def test_few_blocks_explain_no_more_than_their_size() -> None:
    found = view(level(rising(40)), python_blocks=blocks(5000))
    assert found.blocks is not None
    assert found.resident.risen > MOST_BLOCK_BYTES * found.blocks.risen
    assert found.arenas_grown == USUAL_BLOCK_BYTES * found.blocks.risen


def test_blocks_that_stand_still_explain_nothing() -> None:
    found = view(level(rising(40)), python_blocks=blocks(0))
    assert found.arenas_grown == 0
    assert not found.live_keeps


def test_blocks_show_growth_that_swings_hide() -> None:
    load = swinging(60, period=20, high=10)
    assert view(level(load), python_blocks=blocks(60_000)).blocks_show_growth
    assert not view(level(load), python_blocks=blocks(2000)).blocks_show_growth
    assert not view(level(load), python_blocks=blocks(0)).blocks_show_growth
    assert not view(level(load)).blocks_show_growth


def test_blocks_need_not_show_what_resident_memory_does() -> None:
    found = view(level(rising(40)), python_blocks=blocks(60_000))
    assert not found.blocks_show_growth


# What the C heap says


def test_a_heap_that_rises_keeps_live_memory() -> None:
    found = view(level(rising(40)), in_use_bytes=level(rising(40), base=30))
    assert found.heap_keeps
    assert found.live_keeps


def test_a_heap_that_stands_still_keeps_nothing() -> None:
    found = view(level(rising(40)), in_use_bytes=level(base=30))
    assert not found.heap_keeps


def test_a_heap_that_rises_little_beside_the_load_is_not_sure_to_keep() -> None:
    load = swinging(60, period=20, high=4)
    found = view(level(load), in_use_bytes=level(rising(5), base=30))
    assert found.heap is not None
    assert found.heap.law == "rising"
    assert not found.heap_keeps
    assert not found.heap_hides_growth


def test_a_heap_that_rises_into_free_memory_hides_growth() -> None:
    found = view(level(), in_use_bytes=level(rising(40), base=30))
    assert found.heap_hides_growth


@pytest.mark.parametrize(("mib", "hides"), [(40, True), (8, False)])
def test_behind_resident_memory_that_settled_the_heap_must_hold_as_much(
    mib: float, *, hides: bool
) -> None:
    found = view(level(rising(20, stop=0.5)), in_use_bytes=level(rising(mib), base=30))
    assert found.resident.law == "settled"
    assert found.heap_hides_growth is hides


def test_a_heap_that_rises_with_resident_memory_hides_nothing() -> None:
    found = view(level(rising(40)), in_use_bytes=level(rising(40), base=30))
    assert not found.heap_hides_growth


def test_a_heap_that_holds_the_growth_and_stopped_has_settled() -> None:
    filled = rising(40, stop=0.5)
    heap = level(filled, base=30)
    assert view(level(filled), in_use_bytes=heap).heap_settles
    assert not view(level(filled, rising(40)), in_use_bytes=heap).heap_settles
    assert not view(
        level(filled), in_use_bytes=heap, python_blocks=blocks(60_000)
    ).heap_settles
    assert not view(level(filled)).heap_settles


# The rate of a leak


def test_the_rate_is_that_of_resident_memory() -> None:
    found = view(level(rising(40)))
    assert leak_rate(found) == rate_of(found.resident)
    assert leak_rate(found).per_second == pytest.approx(40 * MIB / SECONDS, rel=0.05)


def test_growth_without_free_memory_in_it_is_the_leaks() -> None:
    found = view(
        level(rising(40)),
        in_use_bytes=level(rising(20), base=30),
        python_blocks=blocks(BLOCKS // 2),
    )
    assert leak_rate(found) == rate_of(found.resident)


def test_growth_into_free_memory_has_the_rate_of_the_heap() -> None:
    found = view(level(), in_use_bytes=level(rising(40), base=30))
    assert leak_rate(found).per_second == pytest.approx(40 * MIB / SECONDS, rel=0.05)


def test_free_memory_beside_the_leak_is_not_the_leaks() -> None:
    found = view(level(rising(60)), in_use_bytes=level(rising(30), base=30))
    assert leak_rate(found).per_second == pytest.approx(30 * MIB / SECONDS, rel=0.05)


def test_what_blocks_hold_is_added_to_the_heaps_rate() -> None:
    many = 100_000
    found = view(
        level(), in_use_bytes=level(rising(30), base=30), python_blocks=blocks(many)
    )
    expected = (30 * MIB + USUAL_BLOCK_BYTES * many) / SECONDS
    assert leak_rate(found).per_second == pytest.approx(expected, rel=0.05)
    assert leak_rate(found).low <= leak_rate(found).per_second <= leak_rate(found).high
