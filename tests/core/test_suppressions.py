"""Suspects are put aside by fingerprint or path, with a reason, and never vanish."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.records import LeakguardError, Owner, Suspect, Verdict
from leakguard._core.suppressions import (
    MOST_SUPPRESSIONS,
    Suppression,
    sift,
    suppressions_of,
)
from tests.core.builders import quick, suspect

TODAY = "2026-06-15"
MINE, OTHER = "0123456789ab", "ffffffffffff"
LEAK = Verdict("leak", 0.9, "It grows.", 2048.0, 4096.0, 60.0)


def _rule(**changed: str) -> Suppression:
    return Suppression(**{"reason": "known", **changed})


def _suspects(*fingerprints: str) -> list[Suspect]:
    return [
        suspect(1024.0, rank=rank, fingerprint=digits)
        for rank, digits in enumerate(fingerprints, start=1)
    ]


# --- reading the list ----------------------------------------------------------------


def test_a_list_of_tables_is_a_list_of_suppressions() -> None:
    given = [
        {"fingerprint": MINE, "reason": "a known bug", "expires": date(2026, 12, 31)},
        {"path": "vendor/*", "reason": "theirs", "expires": "2026-12-31"},
    ]
    assert suppressions_of(given) == (
        Suppression("a known bug", fingerprint=MINE, expires="2026-12-31"),
        Suppression("theirs", path="vendor/*", expires="2026-12-31"),
    )
    moment = datetime(2026, 12, 31, 5, tzinfo=timezone.utc)
    timed = [{"path": "a", "reason": "b", "expires": moment}]
    assert suppressions_of(timed)[0].expires == "2026-12-31"
    assert suppressions_of([]) == ()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"path": "a", "reason": "b"}, "suppress is a list of tables"),
        (["a"], "suppress is a list of tables"),
        ([{}] * (MOST_SUPPRESSIONS + 1), "more than 1000 suppressions"),
        ([{"reason": "b"}], "suppress number 1: it names either"),
        ([{"path": "a", "fingerprint": MINE, "reason": "b"}], "names either"),
        ([{"path": "a"}], "number 1: it has no reason; say why"),
        ([{"path": "a", "reason": " "}], "number 1: its reason is a text"),
        ([{"path": "a", "reason": 1}], "number 1: its reason is a text"),
        ([{"path": "a" * 1001, "reason": "b"}], "number 1: its path is too long"),
        ([{"path": "a", "resaon": "b"}], "there is no 'resaon'; the keys are finger"),
        ([{"fingerprint": "xyz", "reason": "b"}], "a fingerprint is 12 digits of"),
        ([{"path": "a", "reason": "b", "expires": "soon"}], "expires is a date such"),
        ([{"path": "a", "reason": "b", "expires": 2026}], "expires is a date such"),
        ([{"path": "a", "reason": "b", "expires": "2026-13-01"}], "expires is a date"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(given: object, sentence: str) -> None:
    with pytest.raises(LeakguardError, match=sentence) as caught:
        suppressions_of(given)
    assert "\n" not in str(caught.value)


# --- what it covers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "covers"),
    [
        ("shop/views.py", True),
        ("views.py", True),
        ("/srv/shop/shop/*.py", True),
        ("shop/*", True),
        ("view?.py", True),
        ("iews.py", False),
        ("shop/views", False),
        ("shop.cache._store", True),
        ("shop.cache.*", True),
        ("*._store", True),
        ("cache._store", False),
        ("shop.cache._stor[e]", False),
    ],
)
def test_a_path_covers_files_and_owners(pattern: str, *, covers: bool) -> None:
    held = suspect(owner=Owner("shop.cache._store"))
    assert _rule(path=pattern).covers(held) is covers


def test_a_suspect_of_no_place_is_covered_by_its_fingerprint_alone() -> None:
    nowhere = suspect(site=None)
    assert not _rule(path="*").covers(nowhere)
    assert _rule(fingerprint=MINE).covers(nowhere)
    assert not _rule(fingerprint=OTHER).covers(nowhere)


def test_file_names_of_windows_are_matched_with_slashes() -> None:
    site = suspect().site
    assert site is not None
    there = suspect(site=type(site)("C:\\shop\\views.py", 1, None, in_app=True))
    assert _rule(path="shop/views.py").covers(there)


# --- what is left --------------------------------------------------------------------


def test_without_rules_nothing_changes() -> None:
    suspects = _suspects(MINE, OTHER)
    assert sift(LEAK, suspects, (), TODAY) == (LEAK, tuple(suspects), (), ())


def test_what_is_put_aside_stands_apart_with_its_reason() -> None:
    rule = _rule(fingerprint=MINE, expires=TODAY)
    left = sift(LEAK, _suspects(MINE, OTHER), [rule], TODAY)
    assert [(one.rank, one.fingerprint) for one in left.suspects] == [(1, OTHER)]
    (aside,) = left.suppressed
    assert aside.suspect.fingerprint == MINE
    assert (aside.reason, aside.expires) == ("known", TODAY)
    assert left.verdict.kind == "leak"
    assert left.verdict.growth_bytes_per_call == 1024.0
    assert left.verdict.growth_bytes_per_second == 3072.0
    assert left.verdict.reason == (
        "It grows. Of that, 1.0 KiB per call is suppressed (1 suspect)."
    )
    assert left.notes == ()


def test_where_all_is_put_aside_nothing_is_accused_and_the_forecast_stays() -> None:
    rules = [_rule(path="views.py")]
    left = sift(LEAK, _suspects(MINE, OTHER), rules, TODAY)
    assert left.suspects == ()
    assert len(left.suppressed) == 2
    assert left.verdict.kind == "steady"
    assert left.verdict.growth_bytes_per_call == 0.0
    assert left.verdict.time_to_limit_seconds == 60.0
    assert left.verdict.reason == (
        "Nothing grows but what is suppressed: 2 suspects, 2.0 KiB per call."
    )


def test_growth_that_what_is_put_aside_does_not_explain_is_still_a_leak() -> None:
    fast = Verdict("leak", 0.9, "It grows.", None, 1e6)
    left = sift(fast, _suspects(MINE), [_rule(fingerprint=MINE)], TODAY)
    assert left.verdict.kind == "leak"
    assert left.suspects == ()
    assert len(left.suppressed) == 1


def test_rates_that_are_not_known_explain_what_is_not_known() -> None:
    unknown = Verdict("leak", 0.9, "It grows.")
    nobody = [suspect(None, fingerprint=MINE)]
    left = sift(unknown, nobody, [_rule(fingerprint=MINE)], TODAY)
    assert left.verdict.kind == "steady"
    assert left.verdict.growth_bytes_per_call is None


def test_what_has_expired_counts_no_more_and_is_said_so() -> None:
    rules = [_rule(fingerprint=MINE, expires="2026-06-14"), _rule(path="x", expires="")]
    left = sift(LEAK, _suspects(MINE), rules[:1], TODAY)
    assert left.verdict == LEAK
    assert len(left.suspects) == 1
    (note,) = left.notes
    assert note == (
        "The suppression of fingerprint 0123456789ab (known) has expired on 2026-06-14"
        " and counts no more."
    )
    assert "path x" in sift(LEAK, (), rules[1:], TODAY).notes[0]


@quick
@given(
    st.lists(st.sampled_from([MINE, OTHER, "a" * 12]), max_size=6),
    st.sets(st.sampled_from([MINE, OTHER])),
)
def test_no_suspect_vanishes(fingerprints: list[str], known: set[str]) -> None:
    suspects = _suspects(*fingerprints)
    rules = [_rule(fingerprint=digits) for digits in known]
    left = sift(LEAK, suspects, rules, TODAY)
    assert len(left.suspects) + len(left.suppressed) == len(suspects)
    assert [one.rank for one in left.suspects] == [*range(1, len(left.suspects) + 1)]
    assert not {one.fingerprint for one in left.suspects} & known
    assert {one.suspect.fingerprint for one in left.suppressed} <= known
