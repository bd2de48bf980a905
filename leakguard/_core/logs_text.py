"""The small words of memory logs: escape sequences, sizes, numbers, time stamps.

Rules of this file: nothing raises on any text; what cannot be read is ``None``.
Patterns stay linear in the length of the line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from leakguard._core.units import UnitError, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

# ECMA-48: a control sequence, an operating system command, or a two-byte escape.
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])"
)
#: "Clear the screen" and "cursor to the top left": a screen is drawn anew.
_TOP = re.compile(r"\x1b\[(?:2J|[01]?(?:;[01]?)?H)")
_PART = re.compile(r"([\f\r])")

#: docker prints ``MiB`` and, before 1.13, ``MB``; kubectl ``Mi``; top and free ``M``.
SIZE = r"[0-9]{1,20}(?:\.[0-9]{1,20})?\s?(?:[kKMGTPE]?i?B|[KMGTPE]i)(?![A-Za-z0-9])"
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s?([A-Za-z]{0,5})")
_UNITS = {
    name: f"{letter}iB"
    for letter in "KMGTPE"
    for name in (f"{letter}i", letter, letter.lower())
}
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE]\+?[0-9]{1,2})?")
_LARGEST = 1 << 62

_ISO = re.compile(
    r"\[?([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})"
    r"(?::([0-9]{2}(?:[.,][0-9]{1,9})?))?"
    r" ?(?:Z|UTC|([+-])([0-9]{2}):?([0-9]{2}))?\]?(?:[\s,;:|]+|$)"
)
_EPOCH = re.compile(r"\[?([0-9]{10}(?:\.[0-9]{1,9})?|[0-9]{13}|[0-9]{16})\]?[\s,;:|]+")
_LAST_EPOCH = 1e11  # beyond it are milliseconds
_LARGEST_STAMP = 1e15


def screen_parts(line: str) -> Iterator[tuple[bool, str]]:
    """Yield the pieces of a line without escapes, and whether each begins a screen."""
    if "\x1b" not in line and "\r" not in line:
        yield False, line
        return
    text = _ESCAPE.sub("", _TOP.sub("\f", line))
    pieces = _PART.split(text)
    yield False, pieces[0]
    for mark, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        yield mark == "\f", piece


def read_size(text: str) -> int | None:
    """Return a size in bytes; units are those of docker, kubectl, top and `units`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    try:
        size = parse_bytes(match[1] + _UNITS.get(match[2], match[2]))
    except UnitError:
        return None
    return size if size < _LARGEST else None


def read_number(text: str) -> int | None:
    """Return a number that is not negative, rounded: ``"50647040"``, ``"5.1e7"``."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < len(str(_LARGEST)):
        return int(text)
    match = _NUMBER.fullmatch(text)
    number = float(text) if match else _LARGEST
    return round(number) if number < _LARGEST else None


def split_stamp(line: str) -> tuple[float | None, str]:
    """Part a leading time stamp, in seconds, from the rest of the line.

    ISO 8601 in its usual spellings, also without a zone; or seconds, milliseconds or
    microseconds since 1970 in front of something else.
    """
    if not line[:2].strip("[").isdigit():
        return None, line
    if match := _ISO.match(line):
        return _iso_seconds(match), line[match.end() :]
    if (match := _EPOCH.match(line)) and line[match.end() :].strip():
        return _scaled(float(match[1])), line[match.end() :]
    return None, line


def read_stamp(text: str) -> float | None:
    """Return the time in a cell: a number of seconds, or what `split_stamp` reads."""
    stamp, rest = split_stamp(text)
    if stamp is not None:
        return None if rest else stamp
    try:
        number = float(text)
    except ValueError:
        return None
    return _scaled(number) if abs(number) < _LARGEST_STAMP else None


def _scaled(stamp: float) -> float:
    while stamp >= _LAST_EPOCH:
        stamp /= 1000.0
    return stamp


def _iso_seconds(match: re.Match[str]) -> float:
    seconds = float((match[6] or "0").replace(",", "."))
    minutes = 60 * int(match[4]) + int(match[5])
    if match[7]:
        zone = 60 * int(match[8]) + int(match[9])
        minutes += -zone if match[7] == "+" else zone
    days = _days(int(match[1]), int(match[2]), int(match[3]))
    return 86400.0 * days + 60.0 * minutes + seconds


def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970 in the Gregorian calendar.

    As in H. Hinnant, "chrono-compatible low-level date algorithms": years begin in
    March, so that the leap day comes last.
    """
    year -= month <= 2
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + day_of_year - 719468
