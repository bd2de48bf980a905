"""Containers that grew while work was done, and what they hold alive.

A leak has to hang on something that was there before. So the containers of the heap
are followed by their length over a window; what hangs below the newest entries of
those that grew tells which allocation sites they hold. Looking below needs tracing;
finding the path to a root does not, and is done after it has stopped.

Live objects are held here between those two steps and nowhere longer.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from array import array
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from leakguard._core.evidence import Bound, Holding
from leakguard._readers.attributes import is_a, module_file, referents_of
from leakguard._readers.bounds import bound_of, is_unbounded_lru
from leakguard._readers.containers import (
    SHORT,
    containers_in,
    is_buffer,
    length_of,
    newest_entries,
    size_of,
)
from leakguard._readers.heap import newborn_ids, objects_but_tuples, type_name
from leakguard._readers.paths import describe, links_of
from leakguard._readers.retained import retained
from leakguard._readers.search import PAUSE_SECONDS, Search
from leakguard._readers.source import is_own
from leakguard._readers.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from leakguard._core.places import Place
    from leakguard._core.records import Stack

#: Entries of a holder that are looked at (a set has no newest end), and those born
#: in the window, and the objects below them, that are walked.
_LOOKED_AT_ENTRIES = 20_000
_WALKED_ENTRIES = 24
_WALKED_OBJECTS = 4_000
_KEPT_HOLDERS = 24
#: An entry and its place in a list or dict, as far as a buffer is compared with them.
_BYTES_PER_ENTRY = 64
#: References to a container that nobody but us has: as followed, and as argument.
_OUR_REFERENCES = 2
#: To list the heap without its tuples takes so long per block of memory.
_LISTED_SECONDS_PER_BLOCK = 50e-9


@dataclass(frozen=True, slots=True)
class Newborn:
    """The objects born in the window: the ids of all, and all but the tuples."""

    objects: list[object]
    ids: set[int]

    @classmethod
    def read(cls) -> Newborn:
        """Return what the collector sees: after ``freeze()``, what is born since."""
        return cls(objects_but_tuples(), newborn_ids())

    def holds(self, item: object) -> bool:
        """Return whether ``item`` was born in the window."""
        if id(item) in self.ids:
            return True
        if gc.is_tracked(item) or type(item) is bool or item is None:
            return False
        return tracemalloc.get_object_traceback(item) is not None


class Followed:
    """The containers and buffers alive before a window and their sizes then."""

    def __init__(self, pause_seconds: float = PAUSE_SECONDS) -> None:
        """Walk the heap once. Cost: about 1 us per object of it.

        A heap too large to be listed within ``pause_seconds``, in which no other thread
        runs, is walked from its roots, at 3 us for each of 100 000 objects at most.
        """
        heap = _listed(pause_seconds)
        long = (item for item in containers_in(heap) if size_of(item) >= SHORT)
        self.containers = [item for item in long if item is not heap]
        self.sizes = array("q", map(size_of, self.containers))

    def grown(self, newborn: Newborn) -> list[Grown]:
        """Return those that have become longer, most first, with what hangs below.

        What the program has let go of since, as of a list it replaced, is left out.
        Tracing must still run. Cost: 0.1 us per container and about 10 ms for each
        that grew.
        """
        containers = self.containers
        found = [
            (size_of(item) - before, at)
            for at, (item, before) in enumerate(
                zip(containers, self.sizes, strict=True)
            )
            if size_of(item) > before and not _is_ours(item)
        ]
        kept = [
            (more, at)
            for more, at in found
            if sys.getrefcount(containers[at]) > _OUR_REFERENCES
        ]
        kept.sort(key=lambda one: _weight(containers[one[1]], one[0]), reverse=True)
        return [
            _grown(containers[at], more, newborn) for more, at in kept[:_KEPT_HOLDERS]
        ]


def _weight(item: object, more: int) -> float:
    """Return how much a container grew, in entries; a buffer's are its bytes."""
    return more / _BYTES_PER_ENTRY if is_buffer(item) else more


def _listed(pause_seconds: float) -> list[object]:
    if sys.getallocatedblocks() * _LISTED_SECONDS_PER_BLOCK <= pause_seconds:
        return objects_but_tuples()
    walk = Walk()
    walk.run(lambda: False)
    return list(walk)


@dataclass(frozen=True, slots=True)
class Grown:
    """A container that grew, still alive in our hands: describe it and let go."""

    holder: object
    new_entries: int
    sites: dict[Stack, int]
    entry_types: tuple[str, ...]


def describe_grown(  # noqa: PLR0913 - one search, its options spelled out
    grown: Sequence[Grown],
    hidden: set[int],
    *,
    seconds: float,
    pause_seconds: float = PAUSE_SECONDS,
    exact: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Holding, ...]:
    """Return the containers' paths, types and bounds, holding nothing any more.

    ``hidden`` are ids of containers of ours. Cost: about ten passes over the heap
    for each (20-50 ns per object), within ``seconds``; none of them keeps other
    threads waiting for longer than ``pause_seconds``. What they keep is measured where
    it is little and ``exact``, and reckoned otherwise.
    """
    end = clock() + seconds
    mine = hidden | {id(grown)} | {id(item) for item in grown}
    search = Search(mine, lambda: clock() > end, pause_seconds)
    found = []
    for item in grown:
        if clock() > end:
            break
        chain = search.climb(item.holder)
        found.append(_holding(chain, item, exact=exact))
    return _with_parts(found)


def _with_parts(found: list[Holding]) -> tuple[Holding, ...]:
    """Give a text buffer the list of its parts (until CPython 3.11).

    The list is C code's own, so that no other object refers to it.
    """
    texts = [item for item in found if item.type == "_io.StringIO"]
    lists = [
        item
        for item in found
        if item.type == "list" and len(item.links) == 1 and item.entry_types == ("str",)
    ]
    if not texts or not lists:
        return tuple(found)
    sites = {stack: count for item in lists for stack, count in item.sites.items()}
    whole = [replace(text, sites=sites) for text in texts]
    return (*whole, *(item for item in found if item not in (*texts, *lists)))


def find_owner(  # noqa: PLR0913 - one search, its options spelled out
    targets: Sequence[object],
    hidden: set[int],
    *,
    seconds: float,
    pause_seconds: float = PAUSE_SECONDS,
    exact: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Holding | None:
    """Return who holds one of ``targets``, for survivors that no container grew by.

    Cost: a pass over the heap or some per level, within ``seconds``; none keeps other
    threads waiting for longer than ``pause_seconds``.
    """
    end = clock() + seconds
    search = Search(hidden | {id(targets)}, lambda: clock() > end, pause_seconds)
    for target in targets:
        chain = search.climb(target)
        if len(chain) > 1:
            return _held_by(chain, exact=exact)
    return None


def describe_place(chain: list[object], path: str, place: Place) -> Holding:
    """Return a followed container as a holder: the end of the chain to it."""
    _, hops = describe(chain)
    evidence = f"holds {place.length} entries, {place.first_length} when first seen"
    newest = newest_entries(chain[-1], _WALKED_ENTRIES)
    kinds = Counter(kind_of(part) for entry in newest for part in entry[-1:])
    kept = retained(chain[-1])
    return Holding(
        path=path,
        links=links_of(hops, path, evidence),
        type=place.type,
        length=place.length,
        new_entries=place.length - place.first_length,
        entry_types=tuple(kind for kind, _ in kinds.most_common(6)),
        bound=bound_of(chain, place.length),
        unbounded_lru=is_unbounded_lru(chain[-1]),
        file=_module_file(path),
        retained_bytes=kept.size_bytes,
        is_estimate=kept.is_estimate,
    )


def sites_below(
    pending: deque[object], newborn: Newborn, most_objects: int
) -> dict[Stack, int]:
    """Count where the newborn objects in ``pending``, and below, were allocated.

    Tracing must still run. Cost: 3 to 10 us for each of so many objects.
    """
    seen: set[int] = set()
    sites: Counter[Stack] = Counter()
    while pending and len(seen) < most_objects:
        item = pending.popleft()
        if id(item) in seen:
            continue
        seen.add(id(item))
        stack = stack_of(item)
        if stack is not None:
            sites[stack] += 1
        if gc.is_tracked(item):
            below: Iterable[object] = referents_of(item)
            pending.extend(part for part in below if newborn.holds(part))
    return dict(sites)


def stack_of(item: object) -> Stack | None:
    """Return where a traced object was allocated, innermost frame first."""
    found = tracemalloc.get_object_traceback(item)
    if found is None:
        return None
    return tuple((frame.filename, frame.lineno) for frame in reversed(found))


def kind_of(item: object) -> str:
    """Return the type's name; classes, whatever their metaclass, are ``type``."""
    return "type" if is_a(item, type) else type_name(item)


def _held_by(chain: list[object], *, exact: bool) -> Holding:
    """Describe a chain by its nearest bounded holder, or as it is."""
    for end in range(len(chain) - 1, 0, -1):
        length = length_of(chain[end - 1])
        bound = bound_of(chain[:end], length) if length else None
        if bound is not None:
            return _described(chain[:end], bound, exact=exact)
    return _described(chain, None, exact=exact)


def _described(chain: list[object], bound: Bound | None, *, exact: bool) -> Holding:
    path, hops = describe(chain)
    kept = retained(chain[-1], exact=exact)
    return Holding(
        path=path,
        links=links_of(hops, path, "what it holds grows with the work", measured=False),
        type=type_name(chain[-1]),
        length=length_of(chain[-1]),
        new_entries=0,
        entry_types=(),
        bound=bound,
        unbounded_lru=is_unbounded_lru(chain[-1]),
        file=_module_file(path),
        retained_bytes=kept.size_bytes,
        is_estimate=kept.is_estimate,
    )


def _holding(chain: list[object], grown: Grown, *, exact: bool) -> Holding:
    length = size_of(grown.holder)
    kept = retained(grown.holder, exact=exact)
    path, hops = describe(chain)
    things = "bytes" if is_buffer(grown.holder) else "entries"
    evidence = (
        f"holds {length} {things}, {grown.new_entries} of them new in the last look"
    )
    return Holding(
        path=path,
        links=links_of(hops, path, evidence),
        type=type_name(grown.holder),
        length=length,
        new_entries=grown.new_entries,
        entry_types=grown.entry_types,
        bound=bound_of(chain, length),
        unbounded_lru=is_unbounded_lru(grown.holder),
        file=_module_file(path),
        sites=grown.sites,
        retained_bytes=kept.size_bytes,
        is_estimate=kept.is_estimate,
    )


def _module_file(path: str) -> str | None:
    """Return the file of the module a path starts in."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        file = module_file(".".join(parts[:end]))
        if file is not None:
            return file
    return None


def _is_ours(item: object) -> bool:
    born = tracemalloc.get_object_traceback(item)
    return born is not None and is_own(born[-1].filename)


def _grown(holder: object, new_entries: int, newborn: Newborn) -> Grown:
    """Walk down from the newest entries among the newborn only."""
    kinds: Counter[str] = Counter()
    pending: deque[object] = deque()
    walked = 0
    for entry in newest_entries(holder, _LOOKED_AT_ENTRIES):
        # values before keys: what piles up is named after them
        parts = [part for part in reversed(entry) if newborn.holds(part)]
        kinds.update(map(kind_of, parts))
        pending.extend(parts)
        walked += bool(parts)
        if walked >= _WALKED_ENTRIES:
            break
    sites = sites_below(pending, newborn, _WALKED_OBJECTS)
    return Grown(holder, new_entries, sites, tuple(k for k, _ in kinds.most_common(6)))
