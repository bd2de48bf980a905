"""Two reports compared, in each format: goldens to look at, and safety of names."""

from __future__ import annotations

import json
from dataclasses import replace

from leakguard._core.compare import compare
from leakguard._core.records import Suppressed
from leakguard._render.comparison import dumps, render_markdown, render_text
from tests.render.examples import CACHE, CWD, HOSTILE, LEAK, LIBRARY, LISTENER, STEADY
from tests.render.golden import assert_golden

OLD = replace(
    LEAK,
    created_at="2025-12-01T00:00:00Z",
    suspects=(
        replace(CACHE, growth_bytes_per_call=512.0),
        replace(LIBRARY, rank=2),
        replace(LIBRARY, rank=3, fingerprint="0" * 12, growth_bytes_per_second=8.0),
    ),
    suppressed=(Suppressed("a known bug", None, replace(LISTENER, rank=1)),),
)
NEW = replace(
    LEAK,
    verdict=replace(LEAK.verdict, kind="unknown"),
    suspects=(CACHE, replace(LIBRARY, rank=2)),
    suppressed=(Suppressed("a known bug", None, LISTENER),),
)
CHANGED = compare(NEW, OLD)


def test_the_text_is_the_golden_one() -> None:
    assert_golden("comparison.txt", render_text(CHANGED, cwd=CWD))


def test_colour_marks_the_bad_and_the_good_news() -> None:
    text = render_text(CHANGED, color=True)
    assert "\x1b[1;31mfaster" in text
    assert "\x1b[1;32mgone" in text


def test_the_markdown_is_the_golden_one() -> None:
    assert_golden("comparison.md", render_markdown(CHANGED, cwd=CWD))


def test_the_document_is_the_golden_one() -> None:
    assert_golden("comparison.json", dumps(compare(STEADY, replace(OLD, suspects=()))))
    assert json.loads(dumps(CHANGED))["changes"][0]["change"] == "faster"


def test_where_nobody_is_accused_there_is_no_table() -> None:
    nothing = compare(STEADY, STEADY)
    assert render_text(nothing).splitlines()[0] == "Neither report accuses anybody."
    assert "|" not in render_markdown(nothing)


def test_names_of_the_program_cannot_break_out() -> None:
    hostile = compare(HOSTILE, replace(STEADY, program=HOSTILE.program))
    assert "\x1b" not in render_text(hostile)
    row = render_markdown(hostile).splitlines()[-1]
    assert "\x1b" not in row
    assert row.startswith("| new |")
