"""Patterns of paths: which one wins, and that none takes long."""

from __future__ import annotations

import fnmatch
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard import LeakguardError
from leakguard._core.priorities import by_path

SMALL = st.text("/ab*?[.\n", max_size=6).map("/{}".format)


@pytest.mark.parametrize(
    "path", ["/health", "/healthz/", "/livez", "/readyz", "/metrics"]
)
def test_what_keeps_a_service_watched_is_exempt(path: str) -> None:
    assert by_path({})(path) == "exempt"
    assert by_path({"/*": "sheddable"})(path) == "exempt"
    assert by_path({path: "normal"})(path) == "normal"


def test_everything_else_is_normal() -> None:
    for patterns in ({}, {"/admin/*": "critical"}):
        assert by_path(patterns)("/orders/7") == "normal"  # type: ignore[arg-type]
        assert by_path(patterns)("") == "normal"  # type: ignore[arg-type]
        assert by_path(patterns)("/health/../x") == "normal"  # type: ignore[arg-type]


def test_what_is_exempt_can_be_said_otherwise() -> None:
    assert by_path({}, exempt=["/up"])("/up") == "exempt"
    assert by_path({}, exempt=["/up"])("/health") == "normal"


def test_the_pattern_that_says_most_before_its_wild_card_wins() -> None:
    priority = by_path(
        {
            "/*": "sheddable",
            "/admin/*": "critical",
            "/admin/export*": "sheddable",
            "/admin/exports": "exempt",
            "*.css": "exempt",
        }
    )
    assert priority("/a") == "sheddable"
    assert priority("/admin/") == "critical"
    assert priority("/admin") == "sheddable"
    assert priority("/admin/export/1") == "sheddable"
    assert priority("/admin/exports") == "exempt"
    assert priority("/style.css") == "sheddable"
    assert priority("style.css") == "exempt"


def test_of_equals_the_one_that_says_most_in_all_wins() -> None:
    for names in (("/a/*", "/a/*/b"), ("/a/*/b", "/a/*")):
        priority = by_path({n: "critical" if "b" in n else "sheddable" for n in names})
        assert priority("/a/1/b") == "critical"
        assert priority("/a/1") == "sheddable"


def test_of_equals_in_that_too_the_first_wins() -> None:
    assert by_path({"/a*": "critical", "/a?": "sheddable"})("/ab") == "critical"
    assert by_path({"/a?": "sheddable", "/a*": "critical"})("/ab") == "sheddable"


def test_wild_cards_in_any_place() -> None:
    priority = by_path({"/users/*/avatar?": "critical", "/v?/*/x/*": "sheddable"})
    assert priority("/users/7/avatar1") == "critical"
    assert priority("/users/7/8/avatar1") == "critical"
    assert priority("/users/7/avatar") == "normal"
    assert priority("/v1/a/x/b") == "sheddable"
    assert priority("/v1/a/b") == "normal"
    assert priority("/v1/line\nbreak/x/") == "sheddable"


@given(pattern=SMALL, path=SMALL)
def test_patterns_match_as_those_of_a_shell_do(pattern: str, path: str) -> None:
    matched = by_path({pattern: "critical"}, exempt=())(path) == "critical"
    # There is no set of characters here: a bracket is a bracket.
    assert matched == fnmatch.fnmatchcase(path, pattern.replace("[", "[[]"))


def test_no_path_takes_long_to_match() -> None:
    priority = by_path({"/*a*a*a*a*a*a*a*b": "critical"})
    began = time.process_time()
    assert priority("/" + "a" * 60_000) == "normal"
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("patterns", "sentence"),
    [
        ({"/a": "urgent"}, "'/a' is one of critical, normal, sheddable, exempt"),
        ({"/a": []}, r"not '\[\]'"),
        ({"admin/*": "critical"}, "text like '/admin/\\*', not 'admin/\\*'"),
        ({7: "critical"}, "not '7'"),
    ],
)
def test_what_makes_no_sense_is_said(patterns: Any, sentence: str) -> None:  # noqa: ANN401
    with pytest.raises(LeakguardError, match=sentence):
        by_path(patterns)
