"""The text report: goldens to look at, and laws for any report."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from leakguard._render.text import render_text
from tests.render.examples import (
    CWD,
    HOSTILE,
    LEAK,
    MANY,
    NATIVE,
    PARTLY,
    QUIET,
    STEADY,
    UNKNOWN,
)
from tests.render.golden import assert_golden
from tests.render.strategies import reports

if TYPE_CHECKING:
    from leakguard._core.records import Report

ESCAPES = re.compile(r"\x1b\[[0-9;]+m")


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("leak", LEAK),
        ("steady", STEADY),
        ("native", NATIVE),
        ("unknown", UNKNOWN),
        ("many", MANY),
        ("hostile", HOSTILE),
        ("quiet", QUIET),
        ("partly", PARTLY),
    ],
)
def test_the_text_is_the_golden_one(name: str, report: Report) -> None:
    assert_golden(f"{name}.txt", render_text(report, cwd=CWD))


def test_the_verbose_text_is_the_golden_one() -> None:
    assert_golden("leak-verbose.txt", render_text(LEAK, verbose=True))


def test_the_coloured_text_is_the_golden_one() -> None:
    assert_golden("leak-color.txt", render_text(LEAK, color=True, cwd=CWD))


def test_the_narrow_text_is_the_golden_one() -> None:
    text = render_text(LEAK, width=1, cwd=CWD)
    assert text == render_text(LEAK, width=40, cwd=CWD)
    assert_golden("leak-narrow.txt", text)


def test_the_verdict_comes_first_with_its_rate() -> None:
    first, second, *_ = render_text(LEAK).splitlines()
    assert first == "LEAK  1.2 KiB per call  (confidence 99 %)"
    assert second == LEAK.verdict.reason


def test_what_is_left_out_is_counted() -> None:
    text = render_text(MANY)
    assert "... and 1 more suspect\n" in text
    assert "... and 2 more innocents\n" in text
    assert "more suspect" not in render_text(MANY, verbose=True)


def test_a_report_without_a_reason_has_no_empty_line_for_it() -> None:
    bare = replace(STEADY, verdict=replace(STEADY.verdict, reason=""))
    assert render_text(bare).splitlines()[1] == ""


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(reports)
def test_nothing_in_a_report_can_command_the_terminal(report: Report) -> None:
    for verbose in (False, True):
        text = render_text(report, verbose=verbose)
        assert all(line.isprintable() for line in text.split("\n"))
        assert text.encode()
        colored = render_text(report, verbose=verbose, color=True)
        assert ESCAPES.sub("", colored) == text
