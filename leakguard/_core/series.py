"""The memory's history: the last minutes in full, the last day in ever coarser rows.

Rules of this file: bounded whatever comes in; time only ever grows; nothing is
interpolated, so a gap (a suspend, a stopped process) stays a gap between two rows.

A row is one bucket of time. It bears the time and the work counter of its *first*
sample and the lowest memory since: in a leak the lowest value is the first one, so
coarse and fine rows lie on one line, and in a sawtooth the floor is what counts.
``in_flight`` is the highest, the limit the latest. Where usage is known together with
its inactive file pages, both are those of the moment with the smallest difference.
"""

from __future__ import annotations

from array import array
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any, Final

from leakguard._core.records import LeakguardError
from leakguard._core.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SCHEMA: Final = "leakguard.series/1"
#: Seconds per row, and rows kept: 1 s for 5 min, 10 s for 1 h, 5 min for 24 h.
LEVELS: Final = ((1.0, 300), (10.0, 360), (300.0, 288))

_NAMES: Final = Sample._fields
_WIDTH: Final = len(_NAMES)
_USAGE, _INACTIVE, _LIMIT = map(
    _NAMES.index,
    ("cgroup_usage_bytes", "cgroup_inactive_file_bytes", "cgroup_limit_bytes"),
)
_REQUESTS, _IN_FLIGHT = map(_NAMES.index, ("requests_total", "in_flight"))
_FLOORS: Final = tuple(
    map(
        _NAMES.index,
        ("rss_bytes", "in_use_bytes", "python_blocks", "unreclaimable_bytes"),
    )
)
#: Beyond this a double does not hold every whole number.
_LARGEST: Final = 2**53
#: Some 30 000 years; a double still holds tenths of a millisecond there.
_LATEST_SECONDS: Final = 1e12


class Series:
    """A bounded history of samples in columns of doubles; NaN stands for ``None``.

    Time that does not grow (a clock set back, a counter of another boot) goes on one
    second after the last sample; a sample without a finite time is left out. Counts
    from 2**53 up are kept as that. One thread adds; any may read meanwhile. Cost:
    about 80 bytes per row, 76 KB when full.
    """

    __slots__ = ("_last_seconds", "_offset_seconds", "_rows")

    def __init__(self) -> None:
        self._rows: tuple[array[float], ...] = tuple(array("d") for _ in LEVELS)
        self._offset_seconds = 0.0
        self._last_seconds: float | None = None

    def __len__(self) -> int:
        """Return how many rows there are."""
        return sum(map(len, self._rows)) // _WIDTH

    def add(self, sample: Sample) -> None:
        """Take one sample in. Cost: a few µs."""
        if not isfinite(sample.t_seconds):
            return
        last, offset = self._last_seconds, self._offset_seconds
        at = sample.t_seconds + offset
        if last is not None and at <= last:
            at = last + LEVELS[0][0]
            offset = at - sample.t_seconds
        if abs(at) < _LATEST_SECONDS:
            self._last_seconds, self._offset_seconds = at, offset
            self._put(0, _row(sample, at))

    def samples(self) -> tuple[Sample, ...]:
        """Return the rows as samples, oldest first, in strictly growing time.

        The oldest are 5 minutes apart, the latest as they came in. Cost: about 2 µs
        per row, 2 ms when full.
        """
        # Finest first: a row that moves on meanwhile is read twice, and not missed.
        copies = [rows[:] for rows in self._rows][::-1]
        found: list[Sample] = []
        for row in _each(copies):
            if not found or row[0] > found[-1].t_seconds:
                found.append(Sample(row[0], *map(_count, row[1:])))
        return tuple(found)

    def to_json_dict(self) -> dict[str, Any]:
        """Return the history as plain lists and numbers, less than 200 KB as JSON."""
        return {
            "schema": SCHEMA,
            "fields": list(_NAMES),
            "last_seconds": self._last_seconds,
            "offset_seconds": self._offset_seconds,
            "levels": [
                [[row[0], *map(_count, row[1:])] for row in _each([rows])]
                for rows in self._rows
            ],
        }

    @classmethod
    def from_json_dict(cls, document: Mapping[str, Any]) -> Series:
        """Return the history that ``to_json_dict`` gave.

        Raises:
            LeakguardError: it is no such document.

        """
        if document.get("schema") != SCHEMA or document.get("fields") != list(_NAMES):
            raise LeakguardError(f"this is no {SCHEMA} document")
        made = cls()
        try:
            made._offset_seconds = float(document["offset_seconds"])
            levels = zip(made._rows, LEVELS, document["levels"], strict=True)
            for rows, (_, most), kept in levels:
                for t, *counts in kept[-most:]:
                    rows.extend(_row(Sample(t, *counts), t))
            last = document["last_seconds"]
            made._last_seconds = None if last is None else float(last)
        except (KeyError, TypeError, ValueError) as error:
            raise LeakguardError(f"a broken {SCHEMA} document: {error}") from error
        return made

    def _put(self, level: int, row: Sequence[float]) -> None:
        """Merge a row into the last one of its bucket, or begin the next bucket."""
        seconds, most = LEVELS[level]
        rows = self._rows[level]
        if rows and rows[-_WIDTH] // seconds == row[0] // seconds:
            rows[-_WIDTH:] = _merged(rows[-_WIDTH:], row)
            return
        rows.extend(row)
        if len(rows) > most * _WIDTH:
            if level + 1 < len(LEVELS):
                self._put(level + 1, rows[:_WIDTH])
            del rows[:_WIDTH]


def _row(sample: Sample, at: float) -> array[float]:
    row = array("d", (at,))
    row.extend(nan if n is None else min(n, _LARGEST) for n in sample[1:])
    return row


def _merged(first: array[float], later: Sequence[float]) -> array[float]:
    """Return two rows of one bucket as one; NaN gives way to any number."""
    row = first[:]
    for column in _FLOORS:
        row[column] = _least(first[column], later[column])
    if _working_set(later) < _working_set(first):
        row[_USAGE], row[_INACTIVE] = later[_USAGE], later[_INACTIVE]
    row[_LIMIT] = _known(later[_LIMIT], first[_LIMIT])
    row[_REQUESTS] = _known(first[_REQUESTS], later[_REQUESTS])
    row[_IN_FLIGHT] = -_least(-first[_IN_FLIGHT], -later[_IN_FLIGHT])
    return row


def _known(one: float, other: float) -> float:
    return one if one == one else other  # noqa: PLR0124 - false for NaN


def _least(one: float, other: float) -> float:
    return one if one <= other else _known(other, one)


def _working_set(row: Sequence[float]) -> float:
    """Return usage without inactive file pages; infinity where usage is unknown."""
    return _known(row[_USAGE] - _known(row[_INACTIVE], 0.0), inf)


def _count(value: float) -> int | None:
    return int(value) if isfinite(value) else None


def _each(levels: Sequence[array[float]]) -> Iterator[array[float]]:
    for rows in levels:
        for at in range(0, len(rows), _WIDTH):
            yield rows[at : at + _WIDTH]
