"""Two reports compared: what is new, gone, faster, slower or the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.compare import CHANGES, compare
from leakguard._core.records import (
    Cost,
    Memory,
    Program,
    Report,
    Suppressed,
    Verdict,
)
from tests.core.builders import quick, suspect

if TYPE_CHECKING:
    from leakguard._core.records import Mode, Suspect, VerdictKind


def _report(
    *suspects: Suspect,
    kind: VerdictKind = "leak",
    mode: Mode = "diagnose",
    aside: tuple[Suspect, ...] = (),
) -> Report:
    return Report(
        "2026-01-01T00:00:00Z",
        Program("app.py", 1, "3.12.1", "0.1.0", mode),
        Verdict(kind, 0.9, "It is so."),
        Memory(),
        suspects,
        Cost(None, None, 1, 1.0),
        suppressed=tuple(Suppressed("known", None, one) for one in aside),
    )


def _named(digits: str, rate: float | None = 100.0, **changed: object) -> Suspect:
    return suspect(rate, fingerprint=digits, **changed)


@pytest.mark.parametrize(
    ("rate", "before", "change"),
    [
        (100.0, 100.0, "same"),
        (125.0, 100.0, "same"),
        (126.0, 100.0, "faster"),
        (100.0, 125.0, "same"),
        (100.0, 126.0, "slower"),
        (1.0, 0.0, "faster"),
        (0.0, 0.0, "same"),
        (None, 100.0, "same"),
        (100.0, None, "same"),
    ],
)
def test_a_rate_has_changed_by_a_quarter(
    rate: float | None, before: float | None, change: str
) -> None:
    found = compare(_report(_named("a", rate)), _report(_named("a", before)))
    assert [row.change for row in found.changes] == [change]
    assert bool(found.notes) is (rate is None or before is None)


def test_the_bad_news_comes_first_then_the_fastest() -> None:
    now = _report(*map(_named, "abcd", (10.0, 30.0, 300.0, 100.0)), _named("e"))
    old = _report(_named("c"), _named("d"), _named("e", 1000.0), _named("f"))
    found = compare(now, old)
    assert [(row.fingerprint, row.change) for row in found.changes] == [
        ("b", "new"),
        ("a", "new"),
        ("c", "faster"),
        ("d", "same"),
        ("e", "slower"),
        ("f", "gone"),
    ]
    assert [found.count(change) for change in CHANGES] == [2, 1, 1, 1, 1]
    faster, gone = found.changes[2], found.changes[5]
    assert (faster.growth_bytes, faster.growth_bytes_before) == (300.0, 100.0)
    assert (gone.growth_bytes, gone.growth_bytes_before) == (None, 100.0)


def test_suspects_of_one_fingerprint_are_one_bug() -> None:
    now = _report(_named("a", 60.0), _named("a", 60.0), _named("a", None))
    (row,) = compare(now, _report(_named("a", 60.0))).changes
    assert (row.change, row.growth_bytes) == ("faster", 120.0)


def test_rates_are_compared_in_a_unit_that_both_know() -> None:
    now = _named("a", growth_bytes_per_call=None, growth_bytes_per_second=10.0)
    before = _named("a", growth_bytes_per_call=7.0, growth_bytes_per_second=5.0)
    (row,) = compare(_report(now), _report(before)).changes
    assert (row.unit, row.change) == ("second", "faster")
    apart = replace(before, growth_bytes_per_second=None)
    found = compare(_report(now), _report(apart))
    assert (found.changes[0].unit, found.changes[0].change) == (None, "same")
    assert found.notes == ("The rates of a are not known in one unit.",)


def test_what_is_put_aside_is_not_gone() -> None:
    found = compare(_report(aside=(_named("a"),)), _report(_named("a")))
    assert [(row.change, row.is_suppressed) for row in found.changes] == [
        ("same", True)
    ]


def test_a_comparison_says_what_it_cannot_tell() -> None:
    undecided = _report(kind="unknown")
    leak = _report(_named("a"))
    assert "what is gone" in compare(undecided, leak).notes[0]
    assert "what is new" in compare(leak, undecided).notes[0]
    assert "two kinds" in compare(leak, _report(mode="guard")).notes[0]
    assert compare(undecided, undecided).notes == ()


SUSPECTS = st.lists(
    st.builds(_named, st.sampled_from("abc"), st.none() | st.floats(0, 1e6)), max_size=5
)


@quick
@given(SUSPECTS, SUSPECTS)
def test_each_fingerprint_has_one_row_and_time_runs_both_ways(
    one: list[Suspect], other: list[Suspect]
) -> None:
    forth = compare(_report(*one), _report(*other)).changes
    backwards = compare(_report(*other), _report(*one)).changes
    back = {row.fingerprint: row for row in backwards}
    assert {row.fingerprint for row in forth} == {s.fingerprint for s in one + other}
    assert len(forth) == len(back)
    turned = {"new": "gone", "gone": "new", "faster": "slower", "slower": "faster"}
    for row in forth:
        assert back[row.fingerprint].change == turned.get(row.change, "same")
