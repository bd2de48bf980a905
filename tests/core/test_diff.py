"""What changed between two looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.diff import (
    SiteRow,
    StackRow,
    TypeRow,
    diff_sites,
    diff_stacks,
    diff_types,
)
from leakguard._core.traces import Traces

FRAMES = st.tuples(st.sampled_from(["a.py", "b.py"]), st.integers(1, 3))
STACKS = st.lists(FRAMES, min_size=1, max_size=3).map(tuple)
SIZES = st.lists(st.integers(0, 1000), min_size=1, max_size=3)
TRACES = st.dictionaries(STACKS, SIZES, max_size=8).map(Traces.from_groups)
TYPES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9))


@given(TRACES, TRACES)
def test_rows_add_up_to_the_change_of_the_totals(before: Traces, after: Traces) -> None:
    for rows in (diff_sites(before, after), diff_stacks(before, after)):
        grown = sum(row.growth_bytes for row in rows)
        assert grown == after.total_bytes - before.total_bytes
        blocks = sum(row.growth_blocks for row in rows)
        assert blocks == after.total_count - before.total_count


@given(TRACES)
def test_nothing_changed_from_a_look_to_itself(traces: Traces) -> None:
    assert diff_sites(traces, traces) == ()
    assert diff_stacks(traces, traces) == ()


@given(TRACES, TRACES)
def test_there_and_back_are_opposite(before: Traces, after: Traces) -> None:
    there = {row[:2]: row[2:4] for row in diff_sites(before, after)}
    back = {row[:2]: (-row[2], -row[3]) for row in diff_sites(after, before)}
    assert there == back
    by_stack = {row.stack: row[1:3] for row in diff_stacks(before, after)}
    undone = {row.stack: (-row[1], -row[2]) for row in diff_stacks(after, before)}
    assert by_stack == undone


@given(TRACES, TRACES)
def test_rows_tell_what_lives_now(before: Traces, after: Traces) -> None:
    lines = after.by_frame()
    for row in diff_sites(before, after):
        assert row[4:] == lines.get(row[:2], (0, 0))
    stacks = after.by_stack()
    for stack_row in diff_stacks(before, after):
        assert stack_row[3:] == stacks.get(stack_row.stack, (0, 0))


@given(TRACES, TRACES)
def test_the_largest_growth_comes_first(before: Traces, after: Traces) -> None:
    grown = [row.growth_bytes for row in diff_sites(before, after)]
    assert grown == sorted(grown, reverse=True)


@given(TYPES, TYPES)
def test_types_change_by_the_difference(
    before: dict[str, int], after: dict[str, int]
) -> None:
    rows = diff_types(before, after)
    assert {row.type: row.objects - row.growth for row in rows} == {
        name: before.get(name, 0)
        for name in {*before, *after}
        if before.get(name, 0) != after.get(name, 0)
    }
    assert diff_types(after, after) == ()


def test_a_diff_reads_like_this() -> None:
    here, there = ("a.py", 1), ("b.py", 2)
    before = Traces.from_groups({(here,): [10, 10], (there,): [7]})
    after = Traces.from_groups({(here,): [10, 10, 30], (here, there): [1]})
    assert diff_sites(before, after) == (
        SiteRow("a.py", 1, 31, 2, 51, 4),
        SiteRow("b.py", 2, -7, -1, 0, 0),
    )
    assert diff_stacks(before, after) == (
        StackRow((here,), 30, 1, 50, 3),
        StackRow((here, there), 1, 1, 1, 1),
        StackRow((there,), -7, -1, 0, 0),
    )
    assert diff_types({"dict": 3, "set": 1}, {"dict": 5}) == (
        TypeRow("dict", 2, 5),
        TypeRow("set", -1, 0),
    )
