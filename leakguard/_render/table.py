"""Columns of text, aligned.

Rules of this file: plain text only; every cell is made safe to show, so a table
can be filled straight from the names of the user's program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakguard._render.style import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], align: str = ""
) -> str:
    """Return the rows under their headers; no headers, no heading.

    ``align`` holds ``<``, ``>`` or ``^`` for each column; columns beyond it go left.
    There is no newline at the end and no space at the end of a line.

    Raises:
        ValueError: a row has another number of cells than the first line.

    """
    heading = [headers] if headers else []
    lines = [[plain(cell) for cell in line] for line in (*heading, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if headers:
        lines.insert(1, ["-" * width for width in widths])
    sides = align.ljust(len(widths), "<")
    return "\n".join(
        "  ".join(
            f"{cell:{side}{width}}"
            for cell, side, width in zip(line, sides, widths, strict=True)
        ).rstrip()
        for line in lines
    )
