"""From an object up to a named root, in passes that keep nobody waiting for long.

``gc.get_referrers`` is one pass over the heap in which no other thread runs, so it is
known beforehand what a pass takes, and how many objects may be asked about in one. In
a heap too large for a single pass the way is looked for from the roots instead: a walk
in small steps, which may end without an answer.

Rules of this file: live objects are held until the chain is returned and no longer;
no code of the user's runs; the profiler's own frames and containers are no holders.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from itertools import pairwise
from types import (
    BuiltinFunctionType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    MethodType,
)
from typing import TYPE_CHECKING

from leakguard._readers.attributes import is_a, is_any, referents_of
from leakguard._readers.heap import holders_of
from leakguard._readers.roots import Roots, is_callback, running_locals, stack
from leakguard._readers.source import is_own
from leakguard._readers.walk import MOST_BELOW, MOST_OBJECTS, Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The longest that other threads wait for one step of a search, unless told otherwise.
PAUSE_SECONDS = 0.25
#: Share of that which is planned for: a machine is busier at one time than another.
_PLANNED_SHARE = 0.7
#: One pass for one target, per block of memory, in the most scattered heap measured;
#: a heap whose objects lie side by side takes a quarter of it. Each further target
#: adds this share.
_SECONDS_PER_BLOCK, _SHARE_PER_TARGET = 25e-9, 0.065
#: Tuples that are asked about in one pass, together with whom they were found for.
_MOST_TUPLES = 8
#: A rest between passes, as a share of the last one.
_REST_SHARE = 0.1

#: A pass that takes longer is worth a walk first, which spares most of them, holds
#: nobody up and may take as long: so much for each object.
_QUICK_SECONDS, _SECONDS_PER_WALKED = 0.05, 1e-6
#: Entries of long containers that are compared before a pass: so many, and not more
#: than take a third of it. What is looked at below them may take as long as a pass.
_COMPARED, _COMPARED_PER_SECOND, _BELOW_PER_SECOND = 300_000, 6_000_000, 1_500_000

#: Levels of referrers searched; real owners are rarely more than six hops away.
MAX_DEPTH = 14
#: Levels that are still searched for a name when something was found that may live by
#: itself: an exception's frame is held by a list of exceptions four levels up.
_LEVELS_FOR_A_NAME = 4
#: Objects asked about in one level, and of one type.
MAX_FRONTIER = 80
MAX_OF_ONE_TYPE = 12
#: Referrers of one pass that are looked at, and of one type if there are more: what
#: everybody refers to owns nothing, but somebody may own it.
_MOST_HOLDERS, _MOST_OF_ONE_KIND = 4_000, 500
#: Whom to ask first; instances of other types come with the second group.
_INTERESTING: tuple[tuple[type, ...], ...] = (
    (dict, CellType),
    (FunctionType,),
    (list, tuple, set, deque),
    (BuiltinFunctionType, MethodType, CoroutineType),
)


def climb(
    target: object,
    *,
    hidden: set[int],
    out_of_time: Callable[[], bool],
    pause_seconds: float = PAUSE_SECONDS,
) -> list[object]:
    """Return the chain of holders of one object, root first; see ``Search``."""
    return Search(hidden, out_of_time, pause_seconds).climb(target)


class Search:
    """Searches for holders within one budget of time, the last of pauses."""

    def __init__(
        self,
        hidden: set[int],
        out_of_time: Callable[[], bool],
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """Plan the search.

        ``hidden`` are ids of the profiler's own containers; ``out_of_time`` is asked
        between two steps and ends the search; no step holds the GIL for longer than
        ``pause_seconds``.
        """
        self._hidden, self._out_of_time = hidden, out_of_time
        self._passes = Passes(pause_seconds)
        self._walk: Walk | None = None

    def climb(self, target: object) -> list[object]:
        """Return the shortest chain of holders, root first, ending in ``target``.

        Without a root the chain is just the target. Cost: one pass over the heap
        (20-50 ns per object) per level and for each dozen of objects in it; in a large
        heap fewer, after a walk of 0.1 s.
        """
        if self._walk is None and self._passes.seconds <= _QUICK_SECONDS:
            return self._climbed(target, None) or [target]
        walk = self._walked()
        chain = walk.chain_to(target) or self._short_cut([target])
        if not chain and self._passes.fit:
            chain = self._climbed(target, walk)
        if not chain:
            chain = walk.chain_to(target, sys.maxsize, self._out_of_time)
        return chain or [target]

    def _climbed(self, target: object, known: Walk | None) -> list[object]:
        return _Climb(
            target, self._hidden, self._passes, known, self._short_cut
        ).search(self._out_of_time)

    def _short_cut(self, targets: list[object]) -> list[object]:
        """Return the chain to one of them that spares passes, or nothing.

        It leads through the entries of long containers, and takes at most what one and
        a half passes take.
        """
        walk, passes = self._walked(), self._passes
        chain = walk.chain_to_entry(
            targets, passes.worth_comparing(), self._out_of_time
        )
        return chain or walk.chain_below(
            targets, passes.worth_looking_below(), self._out_of_time
        )

    def _walked(self) -> Walk:
        if self._walk is None:
            # What libraries hold is found by passes, where there may be any.
            fit = self._passes.fit
            worth = int(self._passes.seconds / _SECONDS_PER_WALKED)
            most = min(worth, MOST_OBJECTS) if fit else MOST_OBJECTS
            self._walk = Walk(most, self._hidden, libraries=not fit)
            self._hidden = self._hidden | self._walk.own_ids
            self._walk.run(self._out_of_time)
        return self._walk


class Passes:
    """Passes over the heap, planned so that none takes longer than allowed."""

    def __init__(self, pause_seconds: float) -> None:
        """Estimate what a pass takes; the first one made will show it."""
        self._pause = pause_seconds
        self._allowed = pause_seconds
        self.seconds = sys.getallocatedblocks() * _SECONDS_PER_BLOCK

    @property
    def fit(self) -> bool:
        """Whether a pass may be made at all."""
        return self._targets(through_tuples=False) >= 1

    def worth_comparing(self) -> int:
        """Return how many entries of containers to compare before a pass is made."""
        return min(_COMPARED, int(self.seconds * _COMPARED_PER_SECOND))

    def worth_looking_below(self) -> int:
        """Return how many objects below containers to look at before a pass is made."""
        if not self.fit:
            return MOST_BELOW
        return min(MOST_BELOW, int(self.seconds * _BELOW_PER_SECOND))

    def holders_of(
        self, frontier: list[object], mine: set[int]
    ) -> Iterator[list[object]]:
        """Yield the holders of so many at a time as fit, resting in between.

        The ids of the lists made for it are added to ``mine``.
        """
        at = 0
        while at < len(frontier) and self.fit:
            through_tuples = self._targets(through_tuples=True) >= 1
            size = min(MAX_FRONTIER, self._targets(through_tuples=through_tuples))
            batch = frontier[at : at + size]
            mine.add(id(batch))
            begun = time.thread_time()
            found = holders_of(batch, _MOST_TUPLES if through_tuples else 0)
            took = time.thread_time() - begun
            mine.add(id(found))
            seconds = took / (1 + len(batch) * _SHARE_PER_TARGET)
            if through_tuples:  # it may have been two
                self.seconds = min(self.seconds, seconds)
            else:
                self.seconds = seconds
                self._allowed = self._pause * _PLANNED_SHARE
                # Now that it is known what a pass takes, there may be time for tuples.
                if not found and self._targets(through_tuples=True) >= 1:
                    continue
            yield found
            time.sleep(took * _REST_SHARE)
            at += size

    def _targets(self, *, through_tuples: bool) -> int:
        room = self._allowed / max(self.seconds, 1e-9) - 1
        if through_tuples:
            room -= 1 + _MOST_TUPLES * _SHARE_PER_TARGET
        return int(room / _SHARE_PER_TARGET)


class _Climb:
    """One search, level by level, and all that it holds meanwhile."""

    def __init__(
        self,
        target: object,
        hidden: set[int],
        passes: Passes,
        known: Walk | None,
        short_cut: Callable[[list[object]], list[object]],
    ) -> None:
        self._passes, self._known, self._short_cut = passes, known, short_cut
        self._roots = Roots()
        self._alive: dict[int, object] = {id(target): target}
        self._parents: dict[int, int] = {}
        self._frontier = [target]
        self._mine = hidden | {id(self._alive), id(self._frontier)}
        #: That somebody has the target at hand to ask about it says nothing.
        self._asking = set(map(id, stack()))
        #: What may live by itself, how well it says why, and the first one's level.
        self._alone: tuple[int, int, int] | None = None

    def search(self, out_of_time: Callable[[], bool]) -> list[object]:
        """Return the chain, or nothing."""
        for level in range(MAX_DEPTH):
            if out_of_time() or self._has_waited_for_a_name(level):
                break
            found: list[object] = []
            self._mine.add(id(found))
            chain = self._from_known(level)
            chain = chain or self._level(level, found, out_of_time)
            if chain:
                return chain
            self._asking = set()
            top, self._frontier = self._frontier, _next_frontier(found)
            self._mine.add(id(self._frontier))
            if not self._frontier:
                return self._alone_or_held_by_c(top)
        return self._chain(self._alone[0]) if self._alone else []

    def _has_waited_for_a_name(self, level: int) -> bool:
        return self._alone is not None and level > self._alone[2] + _LEVELS_FOR_A_NAME

    def _from_known(self, level: int) -> list[object]:
        """Return the chain if what the walk knows leads on to one of the frontier."""
        if self._known is None or level == 0:  # of the target that is known already
            return []
        chain = self._short_cut(self._frontier)
        return [*chain[:-1], *self._chain(id(chain[-1]))] if chain else []

    def _level(
        self, level: int, found: list[object], out_of_time: Callable[[], bool]
    ) -> list[object]:
        """Add the holders of the frontier to ``found``; return the chain to a root."""
        wanted = {id(item) for item in self._frontier}
        for holders in self._passes.holders_of(self._frontier, self._mine):
            for holder in self._some_of(holders):
                if not self._is_new(holder) or not self._linked(holder, wanted):
                    continue
                if self._roots.names(holder):
                    return self._chain(id(holder))
                if self._known is not None and id(holder) in self._known:
                    return [*self._known.chain_to(holder), *self._chain(id(holder))[1:]]
                self._note_life(holder, level)
                found.append(holder)
            if out_of_time():
                break
        return []

    def _some_of(self, holders: list[object]) -> list[object]:
        if len(holders) <= _MOST_HOLDERS:
            return holders
        seen: Counter[int] = Counter()
        some: list[object] = []
        for holder in holders:
            seen[id(type(holder))] += 1
            few = seen[id(type(holder))] <= _MOST_OF_ONE_KIND
            if few or id(holder) in self._roots.modules:
                some.append(holder)
        self._mine.add(id(some))
        return some

    def _note_life(self, holder: object, level: int) -> None:
        rank = self._roots.life_of(holder)
        _, best, first = self._alone or (0, 0, level)
        if rank > best:
            self._alone = id(holder), rank, first

    def _is_new(self, holder: object) -> bool:
        if id(holder) in self._alive or id(holder) in self._mine:
            return False
        if not is_a(holder, FrameType):
            return True
        return id(holder) not in self._asking and not is_own(holder.f_code.co_filename)

    def _linked(self, holder: object, wanted: set[int]) -> bool:
        below = _below(holder, wanted)
        for child, parent in pairwise((*below, holder)):
            self._alive[id(parent)] = parent
            self._parents.setdefault(id(parent), id(child))
        return bool(below)

    def _alone_or_held_by_c(self, top: list[object]) -> list[object]:
        """Return the chain of what no object holds: it lives alone, or C code has it.

        From CPython 3.11 on, a variable of a running function is no reference that
        the collector knows.
        """
        if self._alone is not None:
            return self._chain(self._alone[0])
        for frame, value in running_locals():
            if id(value) in self._parents:
                return [frame, *self._chain(id(value))]
        called = [item for item in top if is_callback(item)]
        return self._chain(id(called[0])) if called else []

    def _chain(self, root: int) -> list[object]:
        chain = [self._alive[root]]
        while root in self._parents:
            root = self._parents[root]
            chain.append(self._alive[root])
        return chain


def _next_frontier(found: list[object]) -> list[object]:
    """Choose whom to ask about next: likely owners first, and of each type a few.

    Thousands of bound methods of one set must not hide the one instance that owns it.
    """
    taken: Counter[int] = Counter()
    chosen = []
    for holder in sorted(found, key=_interest):
        kind = id(type(holder))
        if taken[kind] < MAX_OF_ONE_TYPE:
            taken[kind] += 1
            chosen.append(holder)
    return chosen[:MAX_FRONTIER]


def _interest(holder: object) -> int:
    for interest, kinds in enumerate(_INTERESTING):
        if is_any(holder, kinds):
            return interest
    return 1


def _below(holder: object, wanted: set[int]) -> tuple[object, ...]:
    """Return the way from a wanted object up to the holder: itself, maybe a tuple."""
    parts = referents_of(holder)
    for part in parts:
        if id(part) in wanted:
            return (part,)
    for part in parts:
        if type(part) is tuple:
            for inner in part:
                if id(inner) in wanted:
                    return inner, part
    return ()
