"""The bounded history: what is kept of the past, and that it stays small."""

from __future__ import annotations

import json
import math
import sys
import tracemalloc
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.records import LeakguardError
from leakguard._core.samples import Sample
from leakguard._core.series import LEVELS, Series
from tests.core.builders import quick

MIB = 1024 * 1024
DAY_SECONDS = 86_400
COUNTS = list(Sample._fields[1:])
ROWS = sum(most for _, most in LEVELS)

counts = st.none() | st.integers(0, 2**53)
times = st.floats(-1e9, 1e9) | st.sampled_from([math.nan, math.inf, -math.inf, 1e300])
samples = st.builds(Sample, times, **dict.fromkeys(COUNTS, counts))


@cache
def filled(seconds: int, *, step: int = 1, **columns: int) -> Series:
    """Return the history of a process that grows by a KiB per second."""
    series = Series()
    for t in range(0, seconds, step):
        series.add(Sample(float(t), rss_bytes=100 * MIB + 1024 * t, **columns))
    return series


def as_json(series: Series) -> str:
    return json.dumps(series.to_json_dict(), allow_nan=False)


def test_an_empty_history_is_empty() -> None:
    assert Series().samples() == ()
    assert len(Series()) == 0


def test_the_last_five_minutes_are_kept_as_they_came() -> None:
    given_in = [Sample(0.25 + t, t, t + 1, t + 2, 9, 1, 8, 7, t, 3) for t in range(300)]
    series = Series()
    for sample in given_in:
        series.add(sample)
    assert series.samples() == tuple(given_in)


def test_older_rows_are_ten_seconds_and_then_five_minutes_apart() -> None:
    stamps = [one.t_seconds for one in filled(DAY_SECONDS).samples()]
    gaps = [later - earlier for earlier, later in pairwise(stamps)]
    assert stamps[-1] == DAY_SECONDS - 1
    assert set(gaps[-299:]) == {1.0}
    assert set(gaps[-299 - 359 : -301]) == {10.0}
    assert set(gaps[:200]) == {300.0}
    assert stamps[-1] - stamps[0] > 24 * 3600 - 600


def test_a_straight_rise_stays_one_line_at_every_resolution() -> None:
    for one in filled(DAY_SECONDS).samples():
        assert one.rss_bytes == 100 * MIB + 1024 * one.t_seconds


def test_the_memory_of_a_week_is_bounded() -> None:
    full = Sample(0.5, *[512 * MIB + 123_456] * len(COUNTS))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        series = Series()
        for t in range(0, 7 * DAY_SECONDS, 10):  # fewer rows come in
            series.add(full._replace(t_seconds=t + 0.123456))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(series) <= ROWS
    assert sum(map(sys.getsizeof, series._rows)) < 100_000
    assert grown < 200_000
    assert len(as_json(series)) < 200_000


def test_no_more_rows_than_the_levels_hold_ever() -> None:
    assert len(filled(DAY_SECONDS)) == len(filled(DAY_SECONDS).samples())
    assert len(filled(2 * DAY_SECONDS, step=5)) == ROWS


def test_a_bucket_keeps_the_floor_and_speaks_of_its_beginning() -> None:
    series = Series()
    series.add(Sample(10.0, 50, 60, 70, 100, 40, 1_000, 55, 7, 3))
    series.add(Sample(10.5, 60, 40, 80, 120, 70, 2_000, 45, 9, 8))
    series.add(Sample(10.9, 55, 50, 65, 100, 20, 3_000, 65, 11, 5))
    assert series.samples() == (Sample(10.0, 50, 40, 65, 120, 70, 3_000, 45, 7, 8),)


def test_in_a_bucket_anything_known_beats_unknown() -> None:
    known = Sample(10.5, 1, 2, 3, 4, 2, 5, 6, 7, 8)
    for order in (
        (Sample(10.0), known),
        (known._replace(t_seconds=10.0), Sample(10.5)),
    ):
        series = Series()
        for sample in order:
            series.add(sample)
        assert series.samples() == (known._replace(t_seconds=10.0),)


def test_a_gap_stays_a_gap() -> None:
    series = Series()
    for t in (1.0, 2.0, 7_202.0, 7_203.0):
        series.add(Sample(t, rss_bytes=5))
    assert [one.t_seconds for one in series.samples()] == [1.0, 2.0, 7_202.0, 7_203.0]


def test_a_clock_that_is_set_back_goes_on_where_it_was() -> None:
    series = Series()
    for t in (100.0, 101.0, 5.0, 6.0, 6.0, 7.0):
        series.add(Sample(t))
    assert [one.t_seconds for one in series.samples()] == [
        100.0,
        101.0,
        102.0,
        103.0,
        104.0,
        105.0,
    ]


@pytest.mark.parametrize("t", [math.nan, math.inf, -math.inf, 1e300])
def test_a_time_that_is_none_is_left_out(t: float) -> None:
    series = Series()
    series.add(Sample(1.0))
    series.add(Sample(t))
    series.add(Sample(2.0))
    assert [one.t_seconds for one in series.samples()] == [1.0, 2.0]


def test_a_row_that_moves_on_while_it_is_read_is_told_once() -> None:
    series = filled(1_000)
    rows = series._rows[0]
    series._put(1, rows[:10])  # as the thread that adds does before it deletes
    stamps = [one.t_seconds for one in series.samples()]
    assert len(stamps) == len(set(stamps))


def test_counts_beyond_a_double_are_cut() -> None:
    series = Series()
    series.add(Sample(1.0, rss_bytes=2**64))
    assert series.samples()[0].rss_bytes == 2**53


@quick
@given(st.lists(samples, max_size=60))
def test_time_only_grows_and_json_gives_the_same_back(given_in: list[Sample]) -> None:
    series = Series()
    for sample in given_in:
        series.add(sample)
    kept = series.samples()
    assert all(one.t_seconds < two.t_seconds for one, two in pairwise(kept))
    again = Series.from_json_dict(json.loads(as_json(series)))
    assert again.samples() == kept
    more = Sample(12.0, rss_bytes=1)
    series.add(more)
    again.add(more)
    assert again.samples() == series.samples()


def test_a_document_with_too_many_rows_is_cut() -> None:
    document = filled(300).to_json_dict()
    document["levels"][0] *= 10
    assert len(Series.from_json_dict(document)) == 300


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "leakguard.series/2"),
        ("fields", ["t_seconds"]),
        ("levels", [[]]),
        ("levels", [[["x"]], [], []]),
        ("levels", [[[1.0, "x"]], [], []]),
        ("levels", 5),
        ("last_seconds", "x"),
        ("offset_seconds", None),
    ],
)
def test_a_broken_document_is_refused_in_a_sentence(key: str, value: object) -> None:
    document = {**filled(5).to_json_dict(), key: value}
    with pytest.raises(LeakguardError, match=r"leakguard\.series/1 document"):
        Series.from_json_dict(document)
