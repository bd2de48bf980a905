"""The drawing of retention paths: a golden to look at, and names that break nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leakguard._render.dot import _quoted, render_dot
from tests.render.examples import CWD, HOSTILE, LEAK, NATIVE, STEADY
from tests.render.golden import assert_golden
from tests.render.strategies import reports

if TYPE_CHECKING:
    from leakguard._core.records import Report

#: A statement of the language, as far as it is used.
LINE = re.compile(
    r"(?:digraph leakguard \{|  subgraph cluster_-?\d+ \{|  \}|\}|"
    r'(?:  |    )(?:"(?:[^"\\\n]|\\.)*"|[^"\n])*;)\Z'
)


@pytest.mark.parametrize(("name", "report"), [("leak", LEAK), ("hostile", HOSTILE)])
def test_the_drawing_is_the_golden_one(name: str, report: Report) -> None:
    assert_golden(f"{name}.dot", render_dot(report, cwd=CWD))


def test_the_suspect_link_alone_is_bold() -> None:
    bold = [line for line in render_dot(LEAK).splitlines() if "penwidth=4" in line]
    assert len(bold) == 1
    assert "n1_1 -> n1_2 " in bold[0]


def test_without_suspects_there_is_an_empty_drawing() -> None:
    assert "cluster" not in render_dot(STEADY)
    assert "->" not in render_dot(NATIVE)


@given(st.lists(st.text(st.sampled_from('"\\\n{}<>;a\x1b')), max_size=3))
def test_no_text_leaves_its_quotes(lines: list[str]) -> None:
    assert re.fullmatch(r'"(?:[^"\\\n]|\\.)*"', _quoted(*lines))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(reports)
def test_any_report_can_be_drawn(report: Report) -> None:
    for line in render_dot(report).splitlines():
        assert LINE.match(line), line


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
@pytest.mark.parametrize("report", [LEAK, HOSTILE])
def test_graphviz_makes_a_picture_of_it(report: Report) -> None:
    made = subprocess.run(
        ["dot", "-Tsvg"],
        input=render_dot(report).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert b"<svg" in made.stdout
