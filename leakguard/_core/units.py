"""Bytes and durations, read from text and written as text.

Rules of this file: one parser and one formatter per unit, and the two agree.
A formatted value is within 1 % of what was measured, and formatting what was
parsed from it gives the same text again. Binary prefixes (KiB) are 1024-based,
decimal ones (KB) 1000-based, whatever their case.
"""

from __future__ import annotations

import math
import re
from typing import TypeGuard

from leakguard._core.records import LeakguardError

_KIB = 1024
_PREFIXES = "KMGTPE"
_BINARY = (
    ("B", 1),
    *((f"{p}iB", 1 << 10 * power) for power, p in enumerate(_PREFIXES, start=1)),
)
_DECIMAL: tuple[tuple[str, int], ...] = tuple(
    (f"{p}B", 10 ** (3 * power)) for power, p in enumerate(_PREFIXES, start=1)
)
_SIZES = {name.lower(): step for name, step in _BINARY + _DECIMAL} | {
    "": 1,
    "byte": 1,
    "bytes": 1,
    # as Kubernetes writes them
    **{f"{p}i".lower(): 1 << 10 * power for power, p in enumerate(_PREFIXES, start=1)},
}
_SIZE = re.compile(r"\s*([0-9]{1,30})(?:\.([0-9]{1,30}))?\s*([A-Za-z]*)\s*")

_SECONDS = {
    name: seconds
    for seconds, names in (
        (1e-6, "us \u00b5s \u03bcs microsecond microseconds"),
        (1e-3, "ms millisecond milliseconds"),
        (1.0, "s sec secs second seconds"),
        (60.0, "m min mins minute minutes"),
        (3600.0, "h hr hrs hour hours"),
        (86400.0, "d day days"),
    )
    for name in names.split()
}
_NUMBER = r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*"
_PLAIN_NUMBER = re.compile(_NUMBER)
_PART = re.compile(_NUMBER + r"([^\W\d_]+)\s*")
#: A unit, its length in seconds, and the count at which the next one takes over.
_ONE_UNIT = (("us", 1e-6, 1000), ("ms", 1e-3, 1000), ("s", 1.0, 60))
#: Two units below each bound. Days start at three: half an hour is then 0.7 %.
_TWO_UNITS = (
    (3600, ("min", 60), ("s", 1)),
    (3 * 86400, ("h", 3600), ("min", 60)),
    (math.inf, ("d", 86400), ("h", 3600)),
)
_LARGEST = 1e300
_SHOWN_CHARACTERS = 60


class UnitError(LeakguardError, ValueError):
    """A size or a duration that cannot be read."""


def parse_bytes(value: int | str) -> int:
    """Return the size in bytes; text takes a unit: ``"64 B"``, ``"1.5 GB"``.

    A fraction of a byte is rounded to the nearest byte.

    Raises:
        UnitError: negative, not a number, an unknown unit or trailing text.

    """
    if isinstance(value, str):
        return _bytes_from_text(value)
    if isinstance(value, bool) or not isinstance(value, int):
        kind = type(value).__name__
        raise UnitError(
            f"a size is an int of bytes or text such as '10 MiB', not {kind}"
        )
    if value < 0:
        raise UnitError("a size cannot be negative")
    return value


def _bytes_from_text(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UnitError(
            f"{_shown(text)} is not a size: write a number and a unit, "
            "such as '64 B', '10 MiB' or '1.5 GB'"
        )
    whole, fraction, unit = match[1], match[2] or "", match[3]
    if unit.lower() not in _SIZES:
        raise UnitError(
            f"{_shown(text)} is not a size: the unit {_shown(unit)} is not one of "
            "B, KB, MB, GB, TB or KiB, MiB, GiB, TiB"
        )
    # In integers, because a float loses bytes above 8 PiB.
    scale: int = 10 ** len(fraction)
    return (2 * int(whole + fraction) * _SIZES[unit.lower()] + scale) // (2 * scale)


def format_bytes(size_bytes: float | None, *, plus: bool = False) -> str:
    """Return a size of three digits, ``"202 B"`` or ``"1.0 KiB"``.

    Negative sizes keep their sign; ``plus`` writes the other one too. ``None`` and
    values that are not finite are ``"unknown"``.
    """
    if not _is_known(size_bytes):
        return "unknown"
    size = abs(size_bytes)
    # What rounds up to 1024 belongs to the next unit.
    fitting = (u for u in _BINARY if float(_three_digits(size / u[1])) < _KIB)
    unit, step = next(fitting, _BINARY[-1])
    digits = _three_digits(size / step)
    if step > 1 and len(digits) == 1:
        digits += ".0"
    return f"{_sign(size_bytes, plus=plus)}{digits} {unit}"


def format_rate(rate_bytes: float | None, per: str = "call") -> str:
    """Return a rate, ``"202 B/call"``; ``"unknown"`` for ``None``."""
    size = format_bytes(rate_bytes)
    return size if size == "unknown" else f"{size}/{per}"


def parse_seconds(value: float | str) -> float:
    """Return the duration in seconds: ``"5s"``, ``"2 min"``, ``"1h30m"`` or a number.

    Raises:
        UnitError: negative, not finite, an unknown unit or units out of order.

    """
    if isinstance(value, str):
        return _seconds_from_text(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = type(value).__name__
        raise UnitError(
            f"a duration is a number of seconds or text such as '5 s', not {kind}"
        )
    if not _is_known(value) or value < 0:
        raise UnitError("a duration is a finite number of seconds and not negative")
    return float(value)


def _seconds_from_text(text: str) -> float:
    plain = _PLAIN_NUMBER.fullmatch(text)
    if plain is not None:
        return float(plain[1])
    total, position, previous = 0.0, 0, math.inf
    while match := _PART.match(text, position):
        unit = _SECONDS.get(match[2].lower(), math.inf)
        if unit >= previous:  # unknown, repeated, or longer than the one before
            break
        total += float(match[1]) * unit
        position, previous = match.end(), unit
    if not position or position < len(text):
        raise UnitError(
            f"{_shown(text)} is not a duration: write numbers and units, "
            "such as '500 ms', '5s', '2 min' or '1h30m'"
        )
    return total


def format_seconds(duration_seconds: float | None, *, plus: bool = False) -> str:
    """Return a duration, ``"4 ms"``, ``"12.5 s"``, ``"2 min 5 s"`` or ``"3 d 4 h"``.

    Negative durations keep their sign; ``plus`` writes the other one too. ``None``
    and values that are not finite are ``"unknown"``.
    """
    if not _is_known(duration_seconds):
        return "unknown"
    text = _unsigned_seconds(abs(duration_seconds))
    return _sign(duration_seconds, plus=plus) + text


def _unsigned_seconds(duration_seconds: float) -> str:
    if not duration_seconds:
        return "0 s"
    for name, length, bound in _ONE_UNIT:
        digits = _three_digits(duration_seconds / length)
        if float(digits) < bound:
            return f"{digits} {name}"
    (big, long), (small, short) = next(
        (one, other)
        for limit, one, other in _TWO_UNITS
        if round(duration_seconds / other[1]) * other[1] < limit
    )
    count = round(duration_seconds / short)
    whole, rest = divmod(count, long // short)
    return f"{whole} {big} {rest} {small}" if rest else f"{whole} {big}"


def format_number(value: float | None) -> str:
    """Return a number of at least three digits without trailing zeros."""
    if not _is_known(value):
        return "unknown"
    return _sign(value) + _three_digits(abs(value))


def format_ratio(ratio: float | None) -> str:
    """Return a share as a percentage, ``"1.5 %"`` for 0.015."""
    if not _is_known(ratio):
        return "unknown"
    return f"{format_number(100 * ratio)} %"


def _is_known(value: float | None) -> TypeGuard[float]:
    # A comparison, because math.isfinite() overflows on an int beyond floats.
    return value is not None and abs(value) < _LARGEST


def _three_digits(value: float) -> str:
    # From 99.95 on, three digits leave no decimal, and "g" would write 1e+03.
    return f"{value:.0f}" if 99.95 <= value < 1e15 else f"{value:.3g}"  # noqa: PLR2004


def _sign(value: float, *, plus: bool = False) -> str:
    if value < 0:
        return "-"
    return "+" if plus and value else ""


def _shown(text: str) -> str:
    """Quote text for an error sentence: short, in one line, without escapes."""
    clipped = text[:_SHOWN_CHARACTERS]
    return ascii(clipped) if clipped == text else ascii(clipped + "...")
