"""The JSON document: its exact form, the way back, and what it refuses."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leakguard._core.records import Cost, LeakguardError, Report, Verdict
from leakguard._render.document import SCHEMA, decode, dumps, encode, loads
from tests.render.examples import LEAK, STEADY
from tests.render.golden import assert_golden
from tests.render.strategies import reports

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE = "expected a whole number of at most 64 bits"
KIND = "expected one of leak, native-leak, cache, load, fragmentation, steady, unknown"
DOCUMENT: dict[str, Any] = encode(LEAK)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["schema", "site", "line", "suspects", "rank"]), inner
        )
    ),
    max_leaves=8,
)


def _edited(edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = deepcopy(DOCUMENT)
    edit(document)
    return document


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(reports)
def test_a_report_comes_back_from_its_document(report: Report) -> None:
    assert loads(dumps(report)) == report
    assert loads(dumps(report).encode()) == report


def test_the_document_is_the_documented_one() -> None:
    assert_golden("leak.json", dumps(LEAK))
    assert list(DOCUMENT) == [
        "schema",
        "created_at",
        "program",
        "verdict",
        "memory",
        "suspects",
        "cost",
        "acquitted",
        "suppressed",
        "notes",
    ]
    assert list(DOCUMENT["memory"]) == [
        "limit_bytes",
        "limit_source",
        "usage_bytes",
        "working_set_bytes",
        "unreclaimable_bytes",
        "rss_bytes",
        "ledger",
        "remainder_bytes",
        "threads",
        "open_files",
        "child_processes",
        "children_rss_bytes",
        "unseen",
    ]
    assert list(DOCUMENT["suspects"][0]) == [
        "rank",
        "fingerprint",
        "source",
        "site",
        "stack",
        "type",
        "owner",
        "growth_bytes_per_call",
        "growth_count_per_call",
        "growth_bytes_per_second",
        "confidence",
        "pattern",
        "hint",
        "example",
        "route",
        "growth_bytes_per_route_call",
        "habit",
    ]
    assert list(DOCUMENT["acquitted"][0]) == [
        "site",
        "owner",
        "growth_bytes_per_call",
        "plateau_bytes",
        "reason",
    ]


def test_what_json_cannot_hold_is_not_known() -> None:
    report = replace(
        STEADY,
        verdict=Verdict("leak", math.nan, "", math.inf, -math.inf, math.nan),
        cost=Cost(math.nan, math.inf, 1, math.nan),
    )
    again = loads(dumps(report))
    assert again.verdict == Verdict("leak", 0.0, "", None, None, None)
    assert again.cost == Cost(None, None, 1, 0.0)


def test_unknown_keys_are_ignored() -> None:
    def edit(document: dict[str, Any]) -> None:
        document["sponsor"] = {"x": [math.nan]}
        document["suspects"][0]["site"]["column"] = 7

    assert decode(_edited(edit)) == LEAK


def test_an_unknown_pattern_is_another_one() -> None:
    report = decode(_edited(lambda d: d["suspects"][0].update(pattern="moonshine")))
    assert report.suspects[0].pattern == "other"
    with pytest.raises(LeakguardError, match="pattern"):
        decode(_edited(lambda d: d["suspects"][0].update(pattern=None)))


def test_missing_optional_values_are_not_known() -> None:
    def edit(document: dict[str, Any]) -> None:
        del document["acquitted"]
        del document["verdict"]["growth_bytes_per_call"]
        del document["memory"]["ledger"]
        del document["suspects"][0]["site"]
        del document["suspects"][0]["owner"]["links"]

    report = decode(_edited(edit))
    assert report.acquitted == ()
    assert report.verdict.growth_bytes_per_call is None
    assert report.memory.ledger.python_bytes is None
    assert report.suspects[0].site is None
    assert report.suspects[0].owner is not None
    assert report.suspects[0].owner.links == ()


def test_a_whole_number_is_good_where_a_fraction_may_stand() -> None:
    report = decode(_edited(lambda d: d["cost"].update(seconds=3)))
    assert report.cost.seconds == 3.0
    assert isinstance(report.cost.seconds, float)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda d: d["suspects"][0]["site"].update(line="41"),
            f"suspects[0].site.line: {WHOLE}, found text",
        ),
        (
            lambda d: d["suspects"][0]["site"].update(line=True),
            f"suspects[0].site.line: {WHOLE}, found true or false",
        ),
        (
            lambda d: d["program"].update(pid=2**63),
            f"program.pid: {WHOLE}, found a whole number",
        ),
        (
            lambda d: d["program"].update(pid=1.0),
            f"program.pid: {WHOLE}, found a number with a fraction",
        ),
        (
            lambda d: d["suspects"][1]["site"].update(in_app=1),
            "suspects[1].site.in_app: expected true or false, found a whole number",
        ),
        (
            lambda d: d["cost"].update(seconds=math.inf),
            "cost.seconds: expected a finite number, found a number with a fraction",
        ),
        (
            lambda d: d["cost"].update(seconds=None),
            "cost.seconds: expected a finite number, found null",
        ),
        (
            lambda d: d["verdict"].update(reason=[]),
            "verdict.reason: expected text, found a list",
        ),
        (
            lambda d: d["verdict"].update(kind="leek\x1b"),
            f"verdict.kind: {KIND}, found 'leek\\x1b'",
        ),
        (
            lambda d: d["verdict"].update(kind=[]),
            f"verdict.kind: {KIND}, found []",
        ),
        (
            lambda d: d.update(suspects={}),
            "suspects: expected a list, found an object",
        ),
        (
            lambda d: d["suspects"][0]["stack"].append(None),
            "suspects[0].stack[9]: expected text, found null",
        ),
        (
            lambda d: d.update(suspects=[b""]),
            "suspects[0]: expected an object, found bytes",
        ),
        (lambda d: d.pop("cost"), "cost: missing from the report"),
        (
            lambda d: d["memory"]["ledger"].update(python_bytes="1"),
            f"memory.ledger.python_bytes: {WHOLE}, found text",
        ),
        (
            lambda d: d["acquitted"][0].update(owner=1),
            "acquitted[0].owner: expected text, found a whole number",
        ),
        (
            lambda d: d.update(schema="leak/2"),
            f"schema: this leakguard reads {SCHEMA!r} and the report is 'leak/2'",
        ),
        (
            lambda d: d.pop("schema"),
            "this is not a report: it has no schema 'leakguard.report/1'",
        ),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(
    edit: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    with pytest.raises(LeakguardError) as caught:
        decode(_edited(edit))
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the report is empty"),
        (b" \n", "the report is empty"),
        (b"\x80\x04\x95\xff", "the report is not a JSON document"),
        ("9" * 5000, "the report is not a JSON document"),
        ("[" * 200_000, "the report is not a JSON document"),
        ("\ufeff{}", "the report is not a complete JSON document"),
        ("leak!", "Expecting value (line 1, column 1)"),
        (dumps(LEAK)[:400], "the report is not a complete JSON document"),
        ("[]", "this is not a report"),
        ("null", "this is not a report"),
        ("{}", "this is not a report"),
    ],
)
def test_what_is_no_report_is_refused_in_one_sentence(
    text: str | bytes, sentence: str
) -> None:
    with pytest.raises(LeakguardError) as caught:
        loads(text)
    assert sentence in str(caught.value)


@given(st.integers(0, len(dumps(STEADY)) - 1))
def test_a_half_written_file_is_refused(length: int) -> None:
    with pytest.raises(LeakguardError):
        loads(dumps(STEADY)[:length])


@given(JSON)
def test_any_json_is_a_report_or_a_leakguard_error(document: object) -> None:
    changed = _edited(lambda d: d["suspects"].append(document))
    for candidate in (document, {"schema": SCHEMA, "created_at": document}, changed):
        with pytest.raises(LeakguardError):
            decode(candidate)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_bytes_may_come_in_any_encoding_of_json(encoding: str) -> None:
    text = json.dumps(encode(LEAK), ensure_ascii=False)
    assert loads(text.encode(encoding)) == LEAK
