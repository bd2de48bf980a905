"""Counts of the live objects by type, taken when asked, to compare with later.

Rules of this file: no tracing, so a baseline costs nothing between two looks; names and
numbers only, and few of them; one look at a time, and none while an investigation has
the heap out of sight.
"""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from leakguard._core.diff import diff_types
from leakguard._readers.heap import live_type_counts
from leakguard._readers.process import Counters, read_counters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from leakguard._core.diff import TypeRow

MOST_BASELINES: Final = 8
#: Types kept of a baseline, the most frequent: some 0.2 MB, shared among them.
KEPT_TYPES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """What lived at one moment; ``left_out`` types were too rare to be kept."""

    name: str
    at_seconds: float
    counters: Counters
    types: Mapping[str, int]
    left_out: int


class Change(NamedTuple):
    """What has changed since a baseline, largest growth first."""

    before: Baseline
    seconds: float
    now: Counters
    types: tuple[TypeRow, ...]


class Collected(NamedTuple):
    """What a collection of all generations has done."""

    objects: int
    seconds: float
    before: Counters
    after: Counters


class Baselines:
    """One process's baselines, the last set last."""

    def __init__(
        self,
        *,
        counters: Callable[[], Counters] = read_counters,
        count_types: Callable[[], Mapping[str, int]] = live_type_counts,
        collect: Callable[[], int] = gc.collect,
        whole_heap: Callable[[], AbstractContextManager[object]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember whom to ask; ``whole_heap`` keeps windows shut while it is open."""
        self._counters, self._count_types, self._collect = (
            counters,
            count_types,
            collect,
        )
        self._whole_heap = whole_heap or _no_window
        self._clock = clock
        self._known: dict[str, Baseline] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of the baselines, the last set last."""
        return tuple(self._known)

    def age_seconds(self, name: str) -> float | None:
        """Return how long ago the baseline was set."""
        known = self._known.get(name)
        return None if known is None else self._clock() - known.at_seconds

    def set(self, name: str) -> Baseline:
        """Count what lives now, under a name; the oldest makes room if need be.

        Cost: 0.05 µs per object.

        Raises:
            LeakguardError: a window is open, and most of the heap out of sight.

        """
        types, counters = self._look()
        kept = {sys.intern(kind): types[kind] for kind in list(types)[:KEPT_TYPES]}
        left_out = len(types) - len(kept)
        made = Baseline(name, self._clock(), counters, kept, left_out)
        others = [item for item in self._known.items() if item[0] != name]
        self._known = {**dict(others[1 - MOST_BASELINES :]), name: made}
        return made

    def change(self, name: str | None = None) -> Change | None:
        """Return what has changed since a baseline, the last one if none is named.

        ``None`` if there is no such baseline. Cost and errors: those of ``set``.
        """
        known = self._known
        before = known.get(next(reversed(known), "") if name is None else name)
        if before is None:
            return None
        types, counters = self._look()
        seconds = self._clock() - before.at_seconds
        return Change(before, seconds, counters, diff_types(before.types, types))

    def collect(self) -> Collected:
        """Collect all cyclic garbage. Cost: 50 to 500 ns per object, under the GIL.

        Raises:
            LeakguardError: as in ``set``.

        """
        with self._whole_heap():
            before, begun = self._counters(), self._clock()
            objects = self._collect()
            seconds = self._clock() - begun
            return Collected(objects, seconds, before, self._counters())

    def _look(self) -> tuple[Mapping[str, int], Counters]:
        with self._whole_heap():
            return self._count_types(), self._counters()


def _no_window() -> AbstractContextManager[object]:
    """Claim the process's one window, and trace and hide nothing meanwhile."""
    from leakguard._runtime.window import newborn_window

    return newborn_window(freeze=False, tracing=False)
