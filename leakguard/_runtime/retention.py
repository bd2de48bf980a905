"""Looks, now and then, at what should have been let go of and was not.

Two kinds of it: objects that the program said should die soon, and resources on the
shelves of the book. Rules of this file: objects are known by weak references; a strong
one lasts as long as the search for its holder; looks are the watcher's, never the
request's, and rare in proportion to what they cost.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from leakguard._core.records import LeakguardError, Owner
from leakguard._core.resources import (
    Standing,
    accuse_line,
    accuse_tracked,
    suspicion,
)
from leakguard._core.units import format_seconds
from leakguard._readers.heap import type_name
from leakguard._readers.process import collects_automatically
from leakguard._runtime.resources import Book, Hold, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from leakguard._core.records import Suspect
    from leakguard._core.suspects import Names

#: How many objects are watched at once; further ones are not.
MOST_TRACKED: Final = 10_000
#: Names with objects that outlived them, and lines, that a report tells of.
MOST_SUSPECTS: Final = 16
#: Looks lie at least so far apart, and so many times what the last one cost.
LOOK_SECONDS, LOOK_SHARE = 5.0, 0.001
#: A search for a holder takes no longer, and all together this share of the time. What
#: was not found at the second try has no holder with a name.
SEARCH_SECONDS, SEARCH_SHARE, MOST_TRIES = 5.0, 0.05, 2
#: In a heap of up to so many blocks a collection of our own takes about 0.1 s; in a
#: larger one the program's own is awaited.
MOST_BLOCKS_TO_COLLECT: Final = 1_000_000


class Tracked(Hold):
    """A weak reference to what should die; ``since_seconds`` is when it should."""

    __slots__ = ("collections", "is_confirmed", "name")

    name: str
    #: How many full collections there were when it was first seen to be late.
    collections: int | None
    is_confirmed: bool


class Retention:
    """One process's objects that should die and its book of resources."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing watched."""
        self._clock = clock
        self.book = Book(clock)
        self.reset()

    def reset(self) -> None:
        """Forget what is watched, as in a forked child; it is the parent's."""
        self._tracked: dict[Hashable, Tracked] = {}
        self._owners: dict[tuple[str, str], tuple[Owner | None, int]] = {}
        self._accused: tuple[tuple[Line, Standing, float], ...] = ()
        self._late: dict[tuple[str, str], list[Tracked]] = {}
        self._look_at = self._search_at = float("-inf")
        self.book.clear()

    def track(self, item: object, name: str, grace_seconds: float) -> bool:
        """Watch that an object dies; return whether there was room for it.

        Raises:
            LeakguardError: its type allows no weak reference.

        Cost: about 1 µs.
        """
        if len(self._tracked) >= MOST_TRACKED:
            return False
        try:
            hold = Tracked(item, self._gone)
        except TypeError:
            kind = type_name(item)
            message = (
                f"{kind} objects cannot be tracked: their type allows no weak "
                'reference (a class with __slots__ needs "__weakref__" among them)'
            )
            raise LeakguardError(message) from None
        hold.name, hold.key = name, id(item)
        hold.collections, hold.is_confirmed = None, False
        hold.since_seconds = self._clock() + grace_seconds
        self._tracked[id(item)] = hold
        return True

    def _gone(self, hold: Hold) -> None:
        if self._tracked.get(hold.key) is hold:
            del self._tracked[hold.key]

    def tick(self, *, heap_in_sight: bool = True) -> None:
        """Look if it is time; while windows are open the heap is out of sight.

        Cost: below 1 µs, or that of a look.
        """
        now = self._clock()
        if now < self._look_at or not self._is_used():
            return
        self.look(heap_in_sight=heap_in_sight)
        looked = self._clock()
        self._look_at = now + max(LOOK_SECONDS, (looked - now) / LOOK_SHARE)
        if heap_in_sight and looked >= self._search_at:
            self.search()
            ended = self._clock()
            self._search_at = ended + (ended - looked) / SEARCH_SHARE

    def _is_used(self) -> bool:
        watched = self._tracked or self.book.shelves
        return bool(watched or self._late or self._accused)

    def look(self, *, heap_in_sight: bool = True) -> None:
        """See what is overdue. Cost: about 1 µs for each that is watched."""
        now = self._clock()
        self._late = self._overdue_objects(now, heap_in_sight=heap_in_sight)
        self._accused = self._accused_lines(now)

    def search(self) -> None:
        """Search for one holder that is not known yet. Cost: passes over the heap."""
        for line, _, _ in self._accused:
            if line.owner is None and line.searches < MOST_TRIES:
                line.searches += 1
                line.owner = self._owner_on_shelf(line)
                return
        for group, holds in self._late.items():
            owner, tries = self._owners.get(group, (None, 0))
            if owner is None and tries < MOST_TRIES:
                age = format_seconds(self._clock() - holds[0].since_seconds)
                owner = _owner_of(holds[0], f"it should be gone for {age}")
                self._owners[group] = owner, tries + 1
                return

    def suspects(self, names: Names) -> tuple[Suspect, ...]:
        """Return what was overdue at the last look. Parses sources: milliseconds."""
        tracked = list(filter(None, map(self._tracked_suspect, self._late)))
        lines = [
            accuse_line(standing, names, confidence=sure, owner=line.owner)
            for line, standing, sure in self._accused
        ]
        return (*tracked, *lines)

    def _tracked_suspect(self, group: tuple[str, str]) -> Suspect | None:
        alive = [hold for hold in self._late[group] if hold() is not None]
        if not alive:
            return None
        oldest = self._clock() - min(hold.since_seconds for hold in alive)
        owner, _ = self._owners.get(group, (None, 0))
        return accuse_tracked(*group, len(alive), owner, oldest)

    def _overdue_objects(
        self, now: float, *, heap_in_sight: bool
    ) -> dict[tuple[str, str], list[Tracked]]:
        """Return the objects that outlived grace and a collection, by name and type."""
        late = [h for h in list(self._tracked.values()) if h.since_seconds <= now]
        _confirm([h for h in late if not h.is_confirmed], heap_in_sight=heap_in_sight)
        found: dict[tuple[str, str], list[Tracked]] = defaultdict(list)
        for hold in late:
            item = hold()
            if item is not None and hold.is_confirmed:
                found[hold.name, type_name(item)].append(hold)
            del item
        most = sorted(found, key=lambda group: -len(found[group]))[:MOST_SUSPECTS]
        self._owners = {g: self._owners[g] for g in most if g in self._owners}
        return {group: found[group] for group in most}

    def _accused_lines(self, now: float) -> tuple[tuple[Line, Standing, float], ...]:
        found, grace = [], self.book.grace_seconds
        for shelf in list(self.book.shelves.values()):
            for line, standing in shelf.look(now, grace):
                line.counts = line.counts.plus(standing.lost)
                sure = suspicion(
                    standing, line.counts, refused=shelf.refused, grace_seconds=grace
                )
                if sure is not None:
                    found.append((line, standing, sure))
        found.sort(key=lambda row: -row[1].lost)
        return tuple(found[:MOST_SUSPECTS])

    def _owner_on_shelf(self, line: Line) -> Owner | None:
        for shelf in list(self.book.shelves.values()):
            hold = shelf.oldest(line)
            if hold is not None:
                return _owner_of(hold, "it is held and not released")
        return None


def _confirm(late: Sequence[Tracked], *, heap_in_sight: bool) -> None:
    """Note who has outlived a full collection too, or will see none.

    We collect ourselves for those that are late for the first time, where it is quickly
    done. A collection that came while the heap was out of sight does not count.
    """
    automatic, made = collects_automatically(), _collections()
    is_small = sys.getallocatedblocks() <= MOST_BLOCKS_TO_COLLECT
    new = [hold for hold in late if hold.collections is None]
    for hold in late if not heap_in_sight else new:
        hold.collections = made if heap_in_sight else None
    if new and automatic and is_small and heap_in_sight:
        gc.collect()
        made = _collections()
    for hold in late:
        seen = hold.collections
        hold.is_confirmed = not automatic or (seen is not None and made > seen)


def _collections() -> int:
    """Return how many full collections there were."""
    return int(gc.get_stats()[-1]["collections"])


def _owner_of(hold: Hold, why: str) -> Owner | None:
    """Return who holds it, with the reason why that is wrong at the last link."""
    item = hold()
    if item is None:
        return None
    # Late: it needs tracemalloc, which a sub-interpreter may not import.
    from leakguard._readers.holders import find_owner

    with contextlib.suppress(Exception):  # whatever a heap may hold
        found = find_owner([item], set(), seconds=SEARCH_SECONDS)
        if found is not None:
            *links, last = found.links
            kept = replace(last, status="leaking", why=why)
            return Owner(found.path, (*links, kept))
    return None
