"""Reads memory logs, a piece at a time, into one history for each container.

Rules of this file: no text makes it raise; what it cannot read it counts. Memory is
bounded whatever is fed: long histories are thinned evenly, long lines are dropped.
A line without its end is half-written, and a number cut short would be misread, so
it is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakguard._core.logs_rows import Header, Row, parse_line
from leakguard._core.logs_text import screen_parts
from leakguard._core.logs_time import even_times
from leakguard._core.logs_track import Mark, Track
from leakguard._core.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_LINE = 1 << 20
_MOST_CONTAINERS = 1_000
#: Rows kept of one container, and of all of them together.
_MOST_ROWS, _MOST_ROWS_OF_ALL, _FEWEST_ROWS = 4_000, 100_000, 100
_EXAMPLES, _EXAMPLE_CHARACTERS = 3, 60
_UNNAMED = "#1"
#: docker stats draws a screen every 500 ms (docker/cli: container/stats.go).
_LINE_SECONDS, _SCREEN_SECONDS = 1.0, 0.5


@dataclass(frozen=True, slots=True)
class History:
    """What a log says of one container; ``name`` is ``None`` where it names none.

    ``assumed_seconds`` is the time from one line or screen to the next that had to
    be assumed, ``None`` where the log or the caller tells the time.
    """

    name: str | None
    samples: tuple[Sample, ...]
    assumed_seconds: float | None


@dataclass(frozen=True, slots=True)
class Ignored:
    """How many lines could not be read, and the first of them by number."""

    lines: int
    examples: tuple[tuple[int, str], ...]


class LogReader:
    """Turns lines into histories.

    Args:
        decode_json: reads a JSON text; errors are ``ValueError``.
        period_seconds: the time from one measurement to the next in a log without
            time stamps; assumed if it is ``None``.

    """

    def __init__(
        self,
        decode_json: Callable[[str], object],
        *,
        period_seconds: float | None = None,
    ) -> None:
        """Start with nothing read."""
        self._decode_json = decode_json
        self._period_seconds = period_seconds
        self._header: Header | None = None
        self._tracks: dict[str, Track] = {}
        self._partial = ""
        self._too_long = False
        self._line = 0
        self._ignored = 0
        self._examples: list[tuple[int, str]] = []
        self._tick = 0
        self._stamp: float | None = None
        self._seen: set[str] = set()
        self._screens = False
        self._unnamed = 0

    def feed(self, text: str) -> None:
        """Read a piece, which may end within a line. Cost: some 20 µs a line."""
        *lines, rest = text.split("\n")
        for line in lines:
            self._end_line(line)
        self._extend(rest)

    def close(self) -> None:
        """Take the log as ended: a last line without its end is read if it is JSON."""
        rest = "".join(part for _, part in screen_parts(_clean(self._partial))).strip()
        if rest.endswith(("}", "]")) or self._too_long:
            self._end_line("")
        elif rest:
            self._line += 1
            self._ignore(rest)
        self._partial = ""

    @property
    def ignored(self) -> Ignored:
        """The lines that could not be read."""
        return Ignored(self._ignored, tuple(self._examples))

    def histories(self) -> tuple[History, ...]:
        """Return what was read so far, a history for each container measured.

        Cost: some microseconds a sample.
        """
        alone = len(self._tracks) == 1
        return tuple(
            self._history(None if alone and name == _UNNAMED else name, track)
            for name, track in self._tracks.items()
        )

    def _history(self, name: str | None, track: Track) -> History:
        rows, share = track.measured_rows() if self._screens else (track.rows(), 1.0)
        assumed = _SCREEN_SECONDS if self._screens else _LINE_SECONDS
        tick_seconds = self._period_seconds or assumed / share
        timed = any(row.stamp is not None for row in rows)
        times = even_times(
            [row.tick for row in rows], [row.stamp for row in rows], tick_seconds
        )
        samples = tuple(
            Sample(time, *row.values) for time, row in zip(times, rows, strict=True)
        )
        told = timed or self._period_seconds is not None
        return History(name, samples, None if told else assumed)

    def _extend(self, text: str) -> None:
        if len(self._partial) + len(text) > _LONGEST_LINE:
            self._partial, self._too_long = "", True
        elif not self._too_long:
            self._partial += text

    def _end_line(self, text: str) -> None:
        self._extend(text)
        line, too_long = self._partial, self._too_long
        self._partial, self._too_long = "", False
        self._line += 1
        if too_long:
            self._ignore("(a line of more than 1 MiB)")
            return
        if self._line == 1:
            line = line.lstrip("\ufeff\ufffd")
        for is_screen, part in screen_parts(_clean(line)):
            if is_screen:
                self._screens = True
                self._next_tick()
            if part.strip():
                self._take(part.strip("\n "))

    def _take(self, text: str) -> None:
        found = parse_line(text, self._header, self._decode_json)
        if found is None:
            self._ignore(text)
        elif isinstance(found, float):
            self._stamp = found
        elif isinstance(found, Header):
            self._header = found
            self._next_tick()
        else:
            for row in found:
                self._add(row)

    def _add(self, row: Row) -> None:
        name = self._name(row)
        if name in self._seen:
            self._next_tick()
        self._seen.add(name)
        if row.values is None:
            return
        track = self._tracks.get(name)
        if track is None:
            if len(self._tracks) >= _MOST_CONTAINERS:
                self._ignore(f"container {name}: one too many")
                return
            track = self._tracks[name] = Track()
        stamp = self._stamp if row.stamp is None else row.stamp
        share = _MOST_ROWS_OF_ALL // len(self._tracks)
        most = max(_FEWEST_ROWS, min(_MOST_ROWS, share))
        track.add(Mark(self._tick, stamp, row.values), most)

    def _name(self, row: Row) -> str:
        """Return whose row it is: the only container's, or by its place on the screen.

        So lines with and without a name make one history where there is one name.
        """
        if row.name:
            if self._tracks.keys() == {_UNNAMED}:
                self._tracks[row.name] = self._tracks.pop(_UNNAMED)
            return row.name
        self._unnamed += self._screens or not self._unnamed
        alone = len(self._tracks) == 1 and self._unnamed == 1
        return next(iter(self._tracks)) if alone else f"#{self._unnamed}"

    def _next_tick(self) -> None:
        self._tick += bool(self._seen)
        self._seen.clear()
        self._unnamed = 0

    def _ignore(self, text: str) -> None:
        self._ignored += 1
        if len(self._examples) < _EXAMPLES:
            self._examples.append((self._line, text[:_EXAMPLE_CHARACTERS]))


def _clean(line: str) -> str:
    """Return the line without NULs: the log was cut while open, or is UTF-16."""
    return line.replace("\0", "")
