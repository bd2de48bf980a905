"""The answer to a refused request: what a client and a proxy can make of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.gate import Refusal
from leakguard._render.refusal import readiness, refuse

REFUSAL = Refusal("critical", "memory is at 97 % of its limit", 7, "transient")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_a_refusal_is_a_503_that_says_why_and_when_to_come_back() -> None:
    answer = refuse(REFUSAL)
    assert answer.status == 503
    assert json.loads(answer.body) == {
        "error": "memory_pressure",
        "level": "critical",
        "retry_after_seconds": 7,
        "durability": "transient",
    }
    assert dict(answer.headers) == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        "cache-control": "no-store",
        "retry-after": "7",
    }


def test_a_browser_gets_text() -> None:
    answer = refuse(REFUSAL, BROWSER)
    assert answer.body == b"The service is short of memory. Try again in 7 s.\n"
    headers = dict(answer.headers)
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["content-length"] == str(len(answer.body))
    assert headers["retry-after"] == "7"


@pytest.mark.parametrize("seconds", [0, 0.2, -3])
def test_nobody_is_asked_to_come_back_at_once(seconds: float) -> None:
    soon = Refusal("high", "", seconds, "permanent")  # type: ignore[arg-type]
    assert dict(refuse(soon).headers)["retry-after"] == "1"
    assert json.loads(refuse(soon).body)["durability"] == "permanent"


@pytest.mark.parametrize(
    ("accept", "is_text"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/problem+json", False),
        ("text/plain", True),
        ("TEXT/HTML", True),
        ("text/*", True),
        ("text/plain;q=0.5, application/json", False),
        ("text/plain, application/json;q=0.5", True),
        ("text/plain, application/json", False),
        ("text/plain; charset=utf-8; q=0.1, */*;q=0.2", False),
        ("text/html;q=0, */*", False),
        ("text/plain;q=best", False),
        ("image/png", False),
        (BROWSER, True),
        ("*/*, " * 10_000 + "text/plain", False),
    ],
)
def test_accept_decides_between_json_and_text(
    accept: str | None, *, is_text: bool
) -> None:
    kind = dict(refuse(REFUSAL, accept).headers)["content-type"]
    assert kind.startswith("text/plain") == is_text


@given(st.text())
def test_no_accept_header_is_too_strange(accept: str) -> None:
    assert refuse(REFUSAL, accept).status == 503


def test_readiness_is_told_in_a_few_bytes() -> None:
    yes, no = readiness(ready=True), readiness(ready=False)
    assert (yes.status, yes.body) == (200, b'{"ready": true}')
    assert (no.status, no.body) == (503, b'{"ready": false}')
    assert dict(no.headers) == {
        "content-type": "application/json",
        "content-length": "16",
        "cache-control": "no-store",
    }
