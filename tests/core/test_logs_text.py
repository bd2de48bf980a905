"""The small words of a log: sizes, numbers, stamps, escapes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.logs_text import (
    read_number,
    read_size,
    read_stamp,
    screen_parts,
    split_stamp,
)

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("1.5KiB", 1536),
        ("1.5 kB", 1500),
        ("2Mi", 2 << 20),
        ("2M", 2 << 20),
        ("0.5g", 1 << 29),
        ("1e3", None),
        ("-1", None),
        ("1 2", None),
        ("MiB", None),
        ("", None),
        ("99999999999EiB", None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 12 ", 12),
        ("12.0", 12),
        ("1.5e3", 1500),
        ("1e99", None),
        ("9" * 20, None),
        ("9" * 5000, None),
        ("-1", None),
        ("nan", None),
        ("\u0663", None),
        ("", None),
    ],
)
def test_numbers(text: str, number: int | None) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("0.5", 0.5),
        ("-3", -3.0),
        ("1704067200", 1704067200.0),
        ("1704067200500", 1704067200.5),
        ("2024-01-01", None),
        ("2024-01-01T00:00:00Z", 1704067200.0),
        ("2024-01-01T00:00:00Z x", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
    ],
)
def test_stamps_in_cells(text: str, stamp: float | None) -> None:
    assert read_stamp(text) == stamp


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@given(st.datetimes(timezones=ZONES))
def test_iso_times_are_those_of_the_calendar(time: datetime) -> None:
    stamp, rest = split_stamp(f"{time.isoformat()} 12MiB")
    assert stamp == pytest.approx((time - EPOCH).total_seconds(), abs=1e-3)
    assert rest == "12MiB"


@pytest.mark.parametrize(
    "line", ["", "12MiB", "1704067200", "2024-x", "api 1704067200"]
)
def test_lines_without_a_stamp_stay(line: str) -> None:
    assert split_stamp(line) == (None, line)


def test_a_line_is_parted_where_a_screen_begins() -> None:
    line = "a\x1b[0m\x1b[Hb\x1b[2Jc\rd\x1b]0;title\x07\x1bM"
    assert list(screen_parts(line)) == [
        (False, "a"),
        (True, "b"),
        (True, "c"),
        (False, "d"),
    ]
