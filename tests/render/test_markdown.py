"""The Markdown report: goldens to look at, and names that cannot break it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leakguard._render.markdown import _fence, code, escape, render_markdown
from tests.render.examples import (
    CWD,
    HOSTILE,
    LEAK,
    NATIVE,
    STEADY,
)
from tests.render.golden import assert_golden
from tests.render.strategies import reports

if TYPE_CHECKING:
    from leakguard._core.records import Report

NASTY = st.text(st.sampled_from("`|*_<>[]()#@&~$-+=.1 \\\n\x1b\u202e\udc80a"))


@pytest.mark.parametrize(
    ("name", "report"),
    [("leak", LEAK), ("steady", STEADY), ("native", NATIVE), ("hostile", HOSTILE)],
)
def test_the_markdown_is_the_golden_one(name: str, report: Report) -> None:
    assert_golden(f"{name}.md", render_markdown(report, cwd=CWD))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("`x` *y* _z_", r"\`x\` \*y\* \_z\_"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[a](b)", r"\[a\](b)"),
        ("@team", "@&#8203;team"),
        ("&lt;", r"\&lt;"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("    code", "code"),
        ("a\nb", r"a\\nb"),
        ("\x1b[31m", r"\\x1b\[31m"),
        ("", ""),
    ],
)
def test_text_is_shown_as_it_is(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@pytest.mark.parametrize(
    ("text", "fenced"),
    [
        ("a.b", "`a.b`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("``a", "``` ``a ```"),
        ("a|b", "`a|b`"),
        ("a\nb", r"`a\nb`"),
        ("", "`  `"),
    ],
)
def test_code_is_fenced_by_more_backticks_than_it_holds(text: str, fenced: str) -> None:
    assert code(text) == fenced


@given(NASTY)
def test_a_fence_is_longer_than_any_run_inside(text: str) -> None:
    runs = [len(run) for run in re.findall("`+", text)]
    assert len(_fence(text, 3)) > max([2, *runs])


@given(NASTY)
def test_every_special_character_is_escaped(text: str) -> None:
    escaped = escape(text)
    assert escaped.isprintable()
    bare = re.sub(r"\\[\\`*_{}\[\]<>#|~$&=.)+-]", "", escaped).replace("@&#8203;", "")
    assert not re.search(r"[\\`*_{}\[\]<>#|~$&@]", bare)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(reports)
def test_nothing_in_a_report_can_break_a_line(report: Report) -> None:
    text = render_markdown(report)
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.encode()
    prose = re.sub(r"(?ms)^(`{3,})diff$.*?^\1$", "", text)
    headings = [line for line in prose.split("\n") if line.startswith("#")]
    assert len(headings) == 2 + len(report.suspects) + bool(report.acquitted) + bool(
        report.suppressed
    )
