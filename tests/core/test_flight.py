"""The flight record: its document and its size, and what it proves afterwards."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core import coding
from leakguard._core.flight import (
    MOST_BYTES,
    MOST_MESSAGE_BYTES,
    SCHEMA,
    Change,
    Flight,
    Group,
    Point,
    Writer,
    documents,
    from_document,
    how_it_ended,
    message_of,
    name_of,
    recency,
    writer_of,
)
from leakguard._core.forecast import Forecast
from leakguard._core.pressure import Pressure
from leakguard._core.records import LeakguardError
from tests.core.builders import quick
from tests.render.examples import LEAK

BOOT = "3c7d8182"
FLIGHT = Flight(
    at="2026-01-01T00:00:00Z",
    up_seconds=5_000.0,
    writer=Writer(1, 4_242, BOOT),
    level="critical",
    pressure=Pressure(0.97, 970, 1_000, "cgroup2 /app memory.max"),
    forecast=Forecast(12.0, (10.0, None), 1_000, "at this rate in 12 s"),
    groups=(Group(7, 2), Group(5, 9)),
    history=(Point(2.0, 950), Point(1.0, 970)),
    changes=(Change(2.0, "critical", "memory is at 97 % of its limit"),),
    report=LEAK,
)


def first(flight: Flight) -> dict[str, Any]:
    return next(documents(flight))


def test_a_record_is_read_back_as_it_was() -> None:
    document = json.loads(json.dumps(first(FLIGHT)))
    assert document["schema"] == SCHEMA
    assert document["report"]["schema"] == coding.SCHEMA
    report = replace(LEAK, acquitted=())
    assert from_document(document) == replace(FLIGHT, report=report)


def test_a_record_without_a_report_is_one() -> None:
    bare = replace(FLIGHT, report=None, ended="clean")
    assert from_document(first(bare)) == bare


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "schema: expected 'leakguard.flight/1', found None"),
        ([], "schema: expected 'leakguard.flight/1', found None"),
        ({"schema": "leakguard.flight/2"}, "found 'leakguard.flight/2'"),
        ({"schema": SCHEMA}, "at: missing"),
        ({**first(FLIGHT), "level": "mild"}, "level: expected one of ok, elevated"),
        ({**first(FLIGHT), "groups": [[1, 2]]}, r"groups\[0\]: expected an object"),
        (
            {**first(FLIGHT), "forecast": {"interval": [1.0], "reason": ""}},
            "forecast.interval: expected 2 items, found 1",
        ),
    ],
)
def test_what_is_no_record_is_said_so(document: object, message: str) -> None:
    with pytest.raises(LeakguardError, match=message):
        from_document(document)


@quick
@given(st.text(min_size=1), st.integers(1, 5_000), st.integers(1, 300))
def test_a_record_is_bounded_whatever_the_report_holds(
    text: str, frames: int, suspects: int
) -> None:
    long = replace(LEAK.suspects[0], stack=(text * 2_000,) * frames, hint=text * 9_000)
    report = replace(LEAK, suspects=(long,) * suspects)
    sizes = [
        len(json.dumps(each)) for each in documents(replace(FLIGHT, report=report))
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= MOST_BYTES
    for document in documents(replace(FLIGHT, report=report)):
        from_document(document)


def test_of_a_long_path_both_ends_stay() -> None:
    path = "/srv/" + "deep/" * 900 + "views.py"
    long = replace(FLIGHT, forecast=replace(FLIGHT.forecast, reason=path))
    shown: str = from_document(first(long)).forecast.reason
    assert len(shown) == 300
    assert shown.startswith("/srv/deep/")
    assert shown.endswith("/views.py")


@pytest.mark.parametrize(
    "writer", [Writer(1, 4_242, BOOT), Writer(77, None, None), Writer(10**9, 1, "0")]
)
def test_each_life_has_a_file_of_its_own(writer: Writer) -> None:
    assert writer_of(name_of(writer)) == writer
    assert writer_of(f"{name_of(writer)}.tmp") == writer


def test_a_container_whose_process_is_always_number_1_keeps_them_apart() -> None:
    names = {name_of(Writer(1, ticks, BOOT)) for ticks in range(5)}
    assert len(names) == 5


@pytest.mark.parametrize(
    "name",
    [
        *("", "report.json", "leakguard-flight-x-1-2.json"),
        *("leakguard-flight-ab-1-2.json.bak", "leakguard-flight-ab--1-2.json"),
        f"leakguard-flight-ab-1-{'9' * 99}.json",
    ],
)
def test_other_files_are_nobodys(name: str) -> None:
    assert writer_of(name) is None


def test_the_newest_is_found_also_when_the_clock_was_set_back() -> None:
    before = replace(FLIGHT, at="2027-01-01T00:00:00Z", up_seconds=10.0)
    after = replace(FLIGHT, at="2025-01-01T00:00:00Z", up_seconds=20.0)
    older = replace(FLIGHT, at="2029-01-01T00:00:00Z", writer=Writer(1, 1, "ffffffff"))
    flights = [before, after, older]
    assert max(flights, key=lambda each: recency(each, BOOT)) is after
    # Nothing is known of the machine: then only the clock can tell.
    assert max(flights, key=lambda each: recency(each, None)) is older


CALM = replace(FLIGHT, level="high")
NOBODY: tuple[Group, ...] = (Group(99, 0),)


@pytest.mark.parametrize(
    ("flight", "now", "boot", "exit_code", "ended", "why"),
    [
        (
            replace(FLIGHT, ended="clean"),
            (Group(7, 9),),
            BOOT,
            137,
            "clean",
            "by itself",
        ),
        # The group's own counter.
        (
            FLIGHT,
            (Group(7, 3),),
            BOOT,
            None,
            "oom-killed",
            "very likely .* once in its",
        ),
        (CALM, (Group(7, 4),), BOOT, 137, "oom-killed", "2 times in its control group"),
        (FLIGHT, (Group(7, 2), Group(5, 99)), BOOT, None, "killed", "os._exit; memory"),
        (FLIGHT, (Group(7, 1),), BOOT, 137, "killed", "nothing was killed"),
        # The group is another one, and the one around it has survived.
        (
            CALM,
            (Group(8, 0), Group(5, 10)),
            BOOT,
            None,
            "oom-killed",
            "probably .* group",
        ),
        (CALM, (Group(8, 0), Group(5, 9)), BOOT, None, "killed", "nothing was killed"),
        # No group in common: the last record and the exit status.
        (FLIGHT, NOBODY, BOOT, 137, "oom-killed", "very likely .* 97 %"),
        (FLIGHT, NOBODY, BOOT, -9, "oom-killed", "very likely"),
        (FLIGHT, (), BOOT, None, "oom-killed", "probably killed for lack of memory"),
        (CALM, NOBODY, BOOT, 137, "killed", "SIGKILL"),
        (CALM, NOBODY, BOOT, None, "unknown", "nothing tells why"),
        # The machine was started anew, so that no counter means anything.
        (CALM, (Group(7, 9),), "ffffffff", None, "unknown", "nothing tells why"),
        (CALM, (Group(7, 9),), None, None, "unknown", "nothing tells why"),
        # Exit statuses that are not SIGKILL's.
        (FLIGHT, (Group(7, 9),), BOOT, 0, "clean", "status is 0"),
        (FLIGHT, (Group(7, 9),), BOOT, 1, "unknown", "with exit status 1"),
        (FLIGHT, (Group(7, 9),), BOOT, 143, "killed", "signal 15"),
        (FLIGHT, (Group(7, 9),), BOOT, -11, "killed", "signal 11"),
        (FLIGHT, (Group(7, 9),), BOOT, 255, "unknown", "exit status 255"),
    ],
)
def test_how_a_life_ended(  # noqa: PLR0913 - what is known, and what follows
    flight: Flight,
    now: tuple[Group, ...],
    boot: str | None,
    exit_code: int | None,
    ended: str,
    why: str,
) -> None:
    found, reason = how_it_ended(flight, now, boot, exit_code)
    assert found == ended, reason
    assert re.search(why, reason), reason


def test_the_message_of_a_container_names_what_grew() -> None:
    text = message_of(FLIGHT).decode()
    assert text.startswith("leakguard: memory at 97 % of 1000 B, critical, at 2026")
    assert "the limit was 12 s away" in text
    assert f"verdict: {LEAK.verdict.kind}: {LEAK.verdict.reason}" in text
    assert "1. /srv/shop/shop/views.py:41, held by" in text


def test_the_message_is_bounded_and_valid_text() -> None:
    suspect = replace(LEAK.suspects[0], site=None, owner=None, hint="Ü" * 10_000)
    report = replace(LEAK, suspects=(suspect,) * 100)
    data = message_of(replace(FLIGHT, report=report))
    assert MOST_MESSAGE_BYTES - 3 <= len(data) <= MOST_MESSAGE_BYTES
    assert "1. dict: Ü" in data.decode()


def test_the_message_of_a_record_that_knows_little() -> None:
    nothing = Forecast(None, None, None, "nothing grows")
    untyped = replace(LEAK.suspects[0], site=None, owner=None, type=None)
    report = replace(LEAK, suspects=(untyped,))
    assert b"1. ?: " in message_of(replace(FLIGHT, report=report))
    bare = replace(FLIGHT, report=None, forecast=nothing)
    assert message_of(bare).count(b"\n") == 1
