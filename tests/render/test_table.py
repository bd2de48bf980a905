"""Columns align, whatever stands in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._render.style import plain
from leakguard._render.table import table

CELLS = st.text(st.characters(), max_size=6)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("1.0 KiB", "3", "app.py:4"), ("202 B", "1204", "a.py:1")]
    assert table(("growth", "count", "site"), rows, ">^<").splitlines() == [
        " growth  count  site",
        "-------  -----  --------",
        "1.0 KiB    3    app.py:4",
        "  202 B  1204   a.py:1",
    ]


def test_without_headers_there_is_no_heading() -> None:
    assert table((), [("a", "b"), ("cc", "")]) == "a   b\ncc"
    assert table((), []) == ""
    assert table(("a", "b"), []) == "a  b\n-  -"


def test_cells_cannot_break_out_of_their_line() -> None:
    assert table((), [("a\nb\x1b[31m", "c")]) == r"a\nb\x1b[31m  c"


def test_a_row_of_another_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        table(("a", "b"), [("c",)])


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1))
def test_every_row_is_one_line_and_columns_start_at_one_place(
    rows: list[tuple[str, str]],
) -> None:
    lines = table((), [(left, f"|{right}") for left, right in rows]).split("\n")
    assert len(lines) == len(rows)
    assert all(line.isprintable() for line in lines)
    width = max(len(plain(left)) for left, _ in rows)
    assert {line[width : width + 3] for line in lines} == {"  |"}
