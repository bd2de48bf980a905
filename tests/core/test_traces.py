"""Live blocks by stack, as columns."""

from __future__ import annotations

import json
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.traces import COLUMNS, Traces, TracesError, share_frames

FRAMES = st.tuples(
    st.sampled_from(["app.py", "lib/cache.py", "<string>", "\udcff.py"]),
    st.integers(0, 5),
)
STACKS = st.lists(FRAMES, min_size=1, max_size=4).map(tuple)
GROUPS = st.dictionaries(
    STACKS, st.lists(st.integers(0, 2**40), min_size=1, max_size=4), max_size=8
)
TRACES = GROUPS.map(Traces.from_groups)


def _columns(**changed: object) -> dict[str, Any]:
    traces = Traces.from_groups(
        {(("a.py", 1), ("b.py", 2)): [3, 4], (("a.py", 1),): []}
    )
    return {**traces.to_columns(), **changed}


@given(GROUPS)
def test_totals_are_those_of_the_blocks(groups: dict[Any, list[int]]) -> None:
    traces = Traces.from_groups(groups)
    assert traces.total_bytes == sum(map(sum, groups.values()))
    assert traces.total_count == sum(map(len, groups.values()))
    assert traces.by_stack() == {
        stack: (sum(sizes), len(sizes)) for stack, sizes in groups.items()
    }


@given(TRACES)
def test_lines_add_up_to_the_totals(traces: Traces) -> None:
    lines = traces.by_frame()
    assert set(lines) == {stack[0] for stack in traces.stacks}
    assert sum(size for size, _ in lines.values()) == traces.total_bytes
    assert sum(count for _, count in lines.values()) == traces.total_count


def test_a_block_without_frames_belongs_to_no_line() -> None:
    assert Traces.from_groups({(): [5]}).by_frame() == {}


@given(TRACES)
def test_columns_go_through_json_and_back(traces: Traces) -> None:
    columns = traces.to_columns()
    assert tuple(columns) == COLUMNS
    assert Traces.from_columns(json.loads(json.dumps(columns))) == traces


@given(TRACES, st.integers(1, 5))
def test_cutting_stacks_loses_no_block(traces: Traces, nframe: int) -> None:
    short = traces.truncated(nframe)
    assert max(map(len, short.stacks), default=0) <= nframe
    assert len(set(short.stacks)) == len(short.stacks)
    assert short.by_frame() == traces.by_frame()


def test_cutting_nothing_returns_the_same_traces() -> None:
    traces = Traces.from_groups({(("a.py", 1),): [1]})
    assert traces.truncated(1) is traces


def test_equal_frames_are_kept_once() -> None:
    unlike = json.loads('["a.py", 1000]')
    one, other = share_frames([(("a.py", 1000),), (tuple(unlike), ("b.py", 2))])
    assert one[0] is other[0]
    assert other == (("a.py", 1000), ("b.py", 2))


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(TracesError, match="different lengths"):
        Traces(((("a.py", 1),),), array("q"), array("q"))


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("value", [None, "text", {}, [None], [1.5], [True]])
def test_a_column_of_another_kind_is_refused(name: str, value: object) -> None:
    with pytest.raises(TracesError, match=name):
        Traces.from_columns(_columns(**{name: value}))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"stack_frames": [0, 1, 2]}, "no entry number 2"),
        ({"stack_frames": [0, 1, -1]}, "no entry number -1"),
        ({"frame_files": [0, 7]}, "no entry number 7"),
        ({"frame_files": [0]}, "different lengths"),
        ({"stack_depths": [1, 1]}, "different lengths"),
        ({"stack_depths": [4, -1]}, "less than no frames"),
        ({"sizes_bytes": [1]}, "different lengths"),
        ({"sizes_bytes": [1, 2**63]}, "64 bits"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    changed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TracesError, match=sentence):
        Traces.from_columns(_columns(**changed))
