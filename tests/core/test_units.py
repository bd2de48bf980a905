"""Sizes and durations: what is read, what is written, and that the two agree."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leakguard._core.records import LeakguardError
from leakguard._core.units import (
    UnitError,
    format_bytes,
    format_number,
    format_rate,
    format_ratio,
    format_seconds,
    parse_bytes,
    parse_seconds,
)

SIZES = st.integers(0, 2**80) | st.integers(0, 2**21)
DURATIONS = st.floats(1e-9, 1e9) | st.floats(0.5, 500_000)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        (0, 0),
        (64, 64),
        ("64", 64),
        ("64 B", 64),
        ("64b", 64),
        ("1 byte", 1),
        ("64 bytes", 64),
        ("1 KB", 1000),
        ("1 kB", 1000),
        ("1 KiB", 1024),
        ("10 MiB", 10 << 20),
        ("10mib", 10 << 20),
        (" 1.5 GB ", 1_500_000_000),
        ("0.5KiB", 512),
        ("0.4 B", 0),
        ("0.5 B", 1),
        ("3 TB", 3 * 10**12),
        ("2 PiB", 2 << 50),
        ("7.000000000000000001 EB", 7 * 10**18 + 1),
    ],
)
def test_sizes_are_read(text: str | int, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10 GBfoo", "'10 GBfoo' is not a size: the unit 'GBfoo' is not one of"),
        ("512m", "the unit 'm' is not one of"),
        ("10 MB free", "'10 MB free' is not a size"),
        ("-5 MB", "'-5 MB' is not a size: write a number and a unit"),
        ("nan", "'nan' is not a size"),
        ("", "'' is not a size"),
        ("MB", "'MB' is not a size"),
        (".5 MB", "is not a size"),
        ("1e3", "is not a size"),
        ("1,5 GB", "is not a size"),
        ("1 \u212aB", "is not a size"),  # KELVIN SIGN, whose lower case is k
        ("\u0661 B", "is not a size"),
        ("\x1b[31m", "is not a size"),
        ("9" * 5000, "9...' is not a size"),
        (-1, "a size cannot be negative"),
        (1.5, "a size is an int of bytes or text such as '10 MiB', not float"),
        (True, "not bool"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_size_is_refused_in_one_sentence(
    text: object, sentence: str
) -> None:
    with pytest.raises(UnitError) as caught:
        parse_bytes(text)  # type: ignore[arg-type]
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_a_unit_error_is_what_argparse_and_our_callers_catch() -> None:
    assert issubclass(UnitError, ValueError)
    assert issubclass(UnitError, LeakguardError)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (-0.0, "0 B"),
        (0.004, "0.004 B"),
        (0.37, "0.37 B"),
        (8.0, "8 B"),
        (202, "202 B"),
        (202.4, "202 B"),
        (1023, "1023 B"),
        (1023.7, "1.0 KiB"),
        (1024, "1.0 KiB"),
        (1044, "1.02 KiB"),
        (10 << 10, "10 KiB"),
        (1023 << 10, "1023 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (-1536, "-1.5 KiB"),
        (3 << 30, "3.0 GiB"),
        (5000 << 60, "5000 EiB"),
        (None, "unknown"),
        (math.nan, "unknown"),
        (math.inf, "unknown"),
        (10**400, "unknown"),
    ],
)
def test_sizes_are_written(size_bytes: float | None, text: str) -> None:
    assert format_bytes(size_bytes) == text


def test_a_plus_is_written_when_asked_for() -> None:
    sizes = [format_bytes(size, plus=True) for size in (1024, 0, -1024)]
    assert sizes == ["+1.0 KiB", "0 B", "-1.0 KiB"]
    assert format_seconds(5, plus=True) == "+5 s"


@given(SIZES)
@example(2**10 - 1)
@example(2**20 - 1)
@example(999 * 2**10 + 512)
def test_a_size_read_back_is_the_same_to_half_a_percent(size_bytes: int) -> None:
    text = format_bytes(size_bytes)
    again = parse_bytes(text)
    assert abs(again - size_bytes) <= 0.005 * size_bytes
    assert format_bytes(again) == text


@given(st.integers(0, 1023))
def test_small_sizes_are_exact(size_bytes: int) -> None:
    assert parse_bytes(format_bytes(size_bytes)) == size_bytes


@given(st.floats(-1e18, 1e18).filter(bool))
def test_a_written_size_is_within_a_percent(size_bytes: float) -> None:
    digits, unit = format_bytes(size_bytes).split(" ")
    written = float(digits) * parse_bytes(f"1 {unit}")
    assert math.isclose(written, size_bytes, rel_tol=0.006)


@given(st.text() | st.from_regex(r"\A\s?[0-9.]{1,4}\s?[A-Za-z]{0,4}\Z"))
@example("0\x1f")
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UnitError):
        assert parse_bytes(text) >= 0
    with suppress(UnitError):
        assert parse_seconds(text) >= 0


def test_rates_name_their_unit_of_work() -> None:
    assert format_rate(202) == "202 B/call"
    assert format_rate(1024.0, "s") == "1.0 KiB/s"
    assert format_rate(None) == "unknown"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (3, 3.0),
        (0.25, 0.25),
        ("90", 90.0),
        (" 1.5 ", 1.5),
        ("5s", 5.0),
        ("2 min", 120.0),
        ("2m", 120.0),
        ("1h30m", 5400.0),
        ("1 hour 30 minutes 5 seconds", 5405.0),
        ("3 d 4 h", 273_600.0),
        ("250 ms", 0.25),
        ("4us", 4e-6),
        ("4 \u00b5s", 4e-6),
        ("4 \u03bcs", 4e-6),
        ("5 S", 5.0),
    ],
)
def test_durations_are_read(text: str | float, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1h30", "'1h30' is not a duration: write numbers and units"),
        ("30m1h", "is not a duration"),
        ("1h 1h", "is not a duration"),
        ("5 parsecs", "is not a duration"),
        ("5sfoo", "is not a duration"),
        ("-5s", "is not a duration"),
        ("inf", "is not a duration"),
        ("", "is not a duration"),
        (" ", "is not a duration"),
        (-1, "a duration is a finite number of seconds and not negative"),
        (math.nan, "a duration is a finite number"),
        (math.inf, "a duration is a finite number"),
        (10**400, "a duration is a finite number"),
        (True, "not bool"),
        (None, "a duration is a number of seconds or text such as '5 s', not NoneType"),
    ],
)
def test_what_is_no_duration_is_refused_in_one_sentence(
    text: object, sentence: str
) -> None:
    with pytest.raises(UnitError) as caught:
        parse_seconds(text)  # type: ignore[arg-type]
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.000_25, "250 us"),
        (0.000_999_9, "1 ms"),
        (0.0041, "4.1 ms"),
        (0.9999, "1 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min"),
        (125, "2 min 5 s"),
        (3599.7, "1 h"),
        (5400, "1 h 30 min"),
        (71 * 3600, "71 h"),
        (76 * 3600, "3 d 4 h"),
        (-90, "-1 min 30 s"),
        (None, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_durations_are_written(seconds: float | None, text: str) -> None:
    assert format_seconds(seconds) == text


@given(DURATIONS)
@example(59.95)
@example(3599.5)
@example(259_199.0)
def test_a_duration_read_back_is_the_same_to_a_percent(seconds: float) -> None:
    text = format_seconds(seconds)
    again = parse_seconds(text)
    assert math.isclose(again, seconds, rel_tol=0.01)
    assert format_seconds(again) == text


@pytest.mark.parametrize(
    ("value", "number", "ratio"),
    [
        (1.0, "1", "100 %"),
        (0.0123, "0.0123", "1.23 %"),
        (-2.5, "-2.5", "-250 %"),
        (1_204_331.0, "1204331", "120433100 %"),
        (None, "unknown", "unknown"),
        (math.inf, "unknown", "unknown"),
    ],
)
def test_numbers_and_ratios_are_written(
    value: float | None, number: str, ratio: str
) -> None:
    assert format_number(value) == number
    assert format_ratio(value) == ratio
