"""The rows kept of one container: bounded, and without screens drawn twice.

Rules of this file: rows stay in the order they came. Thinning keeps every second row
of the whole history, never a denser end, so that its resolution is the same all over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from leakguard._core.logs_rows import Values

#: Least number of repeats, and greatest chance of them, to call screens redrawn.
_FEWEST_REPEATS, _BY_CHANCE = 5, 1e-3
#: One screen in two or in three shows nothing new; both patterns return after six.
_PATTERNS, _CYCLE = (2, 3), 6


class Mark(NamedTuple):
    """One row: the line or screen it stood in, its time if told, its values."""

    tick: int
    stamp: float | None
    values: Values


class Track:
    """The history of one container while it is being read."""

    def __init__(self) -> None:
        """Start empty."""
        self._rows: list[Mark] = []
        self._stride = 1
        self._count = 0
        self._last: Mark | None = None
        self._pairs = [0] * _CYCLE
        self._repeats = [0] * _CYCLE

    def add(self, mark: Mark, most: int) -> None:
        """Add a row, unless it is the one before written twice; keep ``most`` rows."""
        last = self._last
        if last:
            if mark.stamp is not None and mark[1:] == last[1:]:
                return
            if mark.tick == last.tick + 1:
                self._pairs[mark.tick % _CYCLE] += 1
                self._repeats[mark.tick % _CYCLE] += mark.values == last.values
        if self._count % self._stride == 0:
            self._rows.append(mark)
        self._count += 1
        self._last = mark
        if len(self._rows) > most:
            del self._rows[1::2]
            self._stride *= 2

    def rows(self) -> list[Mark]:
        """Return the rows kept and the latest one."""
        if self._last is None or self._rows[-1] is self._last:
            return list(self._rows)
        return [*self._rows, self._last]

    def measured_rows(self) -> tuple[list[Mark], float]:
        """Return the rows by measurement, and how many of these a screen stands for.

        docker draws more often than it measures. Without other columns a repeated
        value proves nothing, but it does when all the repeats that a pattern asks for
        are there, and by chance they would not be. Those screens then do not count.
        """
        for cycle in _PATTERNS:
            for phase in range(cycle):
                if self._redrawn(cycle, phase):
                    rows = [
                        row._replace(tick=row.tick - (row.tick - phase) // cycle)
                        for row in self.rows()
                        if row.tick % cycle != phase
                    ]
                    return rows, (cycle - 1) / cycle
        return self.rows(), 1.0

    def _redrawn(self, cycle: int, phase: int) -> bool:
        pairs, repeats = (
            sum(self._pairs[phase::cycle]),
            sum(self._repeats[phase::cycle]),
        )
        others = sum(self._pairs) - pairs
        if repeats < max(pairs, _FEWEST_REPEATS) or not others:
            return False
        chance = (sum(self._repeats) - repeats) / others
        return chance**pairs < _BY_CHANCE
