"""The page of edge cases names for each the tests that are there for it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/explanation/edge-cases.md").read_text("utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
GROUPS = {"Limits": 26, "Signals": 9, "Process": 12, "Shedding and recycling": 14}


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_bytes())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def test_no_case_is_left_out() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 62))
    sections = dict(part.split("\n", 1) for part in PAGE.split("\n## ")[1:])
    heading = 1
    assert {g: sections[g].count("\n| ") - heading for g in GROUPS} == GROUPS


@pytest.mark.parametrize(("number", "tests"), [(row[0], row[3]) for row in ROWS])
def test_every_test_that_is_named_exists(number: str, tests: str) -> None:
    named = re.findall(r"`(tests/[^`]+)`", tests)
    assert named, number
    for file, _, function in (name.partition("::") for name in named):
        assert function.startswith("test_"), (number, file)
        assert function in functions(file), (number, file, function)
