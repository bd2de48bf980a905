"""Old containers that hold what was born in a window: the growing holders.

A leak has to hang on something that was there before. So the heap is walked once
for containers born before the window whose newest entries were born in it; what
hangs below those entries tells which allocation sites they hold alive.
"""

from __future__ import annotations

import functools
import gc
import sys
import time
import tracemalloc
import types
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice

from typing import Any

from leakguard._core.evidence import Bound, Holding
from leakguard._core.records import Stack
from leakguard._readers.bounds import bound_of, is_unbounded_lru, module_guard
from leakguard._readers.heap import type_name
from leakguard._readers.paths import climb, describe, is_a, links_of
from leakguard._readers.source import is_own

#: Shorter containers are no leak yet, and there are very many of them.
_SHORT = 8
#: Instances of one type that are searched for dicts the collector ignores.
_LOOKED_INTO = 2_000
#: Newest entries of a holder, and objects below them, that are walked.
_WALKED_ENTRIES = 24
_WALKED_OBJECTS = 4_000
_KEPT_HOLDERS = 24


class Newborn:
    """The objects born in the window, by id; owns the only list of them."""

    def __init__(self, objects: list[object]) -> None:
        """Take over ``objects``, the tracked survivors of the window."""
        self.objects = objects
        self.ids = {id(item) for item in objects}

    def holds(self, item: object) -> bool:
        """Return whether ``item`` was born in the window."""
        if id(item) in self.ids:
            return True
        if gc.is_tracked(item) or type(item) in _IMMORTAL:
            return False
        return tracemalloc.get_object_traceback(item) is not None

    def hidden(self) -> set[int]:
        """Return the ids of our own containers, which no search may report."""
        return {id(self), id(self.objects), id(self.ids), id(self.__dict__)}


_IMMORTAL = (type(None), bool)


def find_holdings(
    newborn: Newborn,
    lengths: Mapping[int, int],
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Holding, ...]:
    """Return the containers that grew, most new entries first.

    ``lengths`` are ``container_lengths()`` of before the window.

    Tracing must still run and the heap be unfrozen. Cost: one pass over the heap,
    0.1-0.3 us per container, and about ten passes per holder found for its path, all
    within ``seconds``.
    """
    end = clock() + seconds
    grown = _grown_containers(newborn, lengths)
    grown.sort(key=lambda pair: -pair[0])
    hidden = newborn.hidden() | {id(grown)} | {id(pair) for pair in grown}
    found = []
    for new_entries, holder in grown[:_KEPT_HOLDERS]:
        if clock() > end:
            break
        found.append(_holding(holder, new_entries, newborn, hidden, end, clock))
    return tuple(found)


def find_owner(
    targets: Sequence[object],
    newborn: Newborn,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Holding | None:
    """Return who holds one of ``targets``, for survivors that no container grew by.

    Cost: one pass over the heap per level, within ``seconds``.
    """
    end = clock() + seconds
    hidden = newborn.hidden() | {id(targets)}
    for target in targets:
        chain = climb(target, hidden=hidden, out_of_time=lambda: clock() > end)
        if len(chain) > 1:
            return _held_by(chain)
    return None


def _held_by(chain: list[object]) -> Holding:
    """Describe a chain by its nearest bounded holder, or as it is."""
    for end in range(len(chain) - 1, 0, -1):
        length = _length(chain[end - 1])
        bound = bound_of(chain[:end], length) if length else None
        if bound is not None:
            return _described(chain[:end], length, bound)
    return _described(chain, _length(chain[-1]), None)


def _described(chain: list[object], length: int, bound: Bound | None) -> Holding:
    path, hops = describe(chain)
    return Holding(
        path=path,
        links=links_of(hops, path, "what it holds grows with the work"),
        type=type_name(chain[-1]),
        length=length,
        new_entries=0,
        entry_types=(),
        bound=bound,
        unbounded_lru=is_unbounded_lru(chain[-1]),
        file=_module_file(path),
    )


def stack_of(item: object) -> Stack | None:
    """Return where a traced object was allocated, innermost frame first."""
    found = tracemalloc.get_object_traceback(item)
    if found is None:
        return None
    return tuple((frame.filename, frame.lineno) for frame in reversed(found))


def container_lengths() -> dict[int, int]:
    """Return the lengths of all containers worth following, by id.

    Taken before a window so that what grew in it can be told from what only turns
    over. Cost: about 1 us per object of the heap.
    """
    return {
        id(item): length
        for item in _containers(gc.get_objects(), frozenset())
        if (length := _length(item)) >= _SHORT
    }


def _grown_containers(
    newborn: Newborn, lengths: Mapping[int, int]
) -> list[tuple[int, object]]:
    grown: list[tuple[int, object]] = []
    heap = gc.get_objects()
    skip = newborn.hidden() | {id(heap), id(grown), id(lengths)}
    for item in _containers(heap, skip):
        length = _length(item)
        before = lengths.get(id(item), _SHORT - 1)
        if length <= before or id(item) in newborn.ids or _is_ours(item):
            continue
        grown.append((length - before, item))
    return grown


def _containers(heap: list[object], skip: AbstractSet[int]) -> Iterator[object]:
    """Yield the containers of a heap, dicts that the collector ignores included.

    A dict of nothing but atoms is not tracked (before 3.14), so it is seen only
    through the object that refers to it. Allocates little: tracing may be on.
    """
    looked_into: Counter[type] = Counter()
    seen: set[int] = set()
    for item in heap:
        kind = type(item)
        if kind in _LEAVES:
            continue
        if kind in _LENGTHS or _length_for(kind) is not None:
            if id(item) not in skip:
                yield item
            if kind is not dict:
                continue
        elif looked_into[kind] < _LOOKED_INTO:
            looked_into[kind] += 1
        else:
            continue
        for part in _parts(item, kind):
            if type(part) is dict and not gc.is_tracked(part) and len(part) >= _SHORT:
                if id(part) in seen or id(part) in skip:
                    continue
                seen.add(id(part))
                yield part


def _parts(item: object, kind: type) -> Iterable[object]:
    if kind is dict:
        return list(dict.values(item))  # type: ignore[arg-type]
    return gc.get_referents(item)


def _is_ours(item: object) -> bool:
    born = tracemalloc.get_object_traceback(item)
    return born is not None and is_own(born[-1].filename)


def _holding(  # noqa: PLR0913 - one search, its parts in order
    holder: object,
    new_entries: int,
    newborn: Newborn,
    hidden: set[int],
    end: float,
    clock: Callable[[], float],
) -> Holding:
    length = _length(holder)
    sites, kinds = _below(holder, newborn)
    chain = climb(holder, hidden=hidden, out_of_time=lambda: clock() > end)
    path, hops = describe(chain)
    bound = bound_of(chain, length)
    if bound is None and hops and hops[0][1] == "module" and len(hops) == 2:
        bound = module_guard(hops[0][0], path.rsplit(".", 1)[-1], length)
    evidence = f"holds {length} entries, {new_entries} of them new in the last look"
    return Holding(
        path=path,
        links=links_of(hops, path, evidence),
        type=type_name(holder),
        length=length,
        new_entries=new_entries,
        entry_types=kinds,
        bound=bound,
        unbounded_lru=is_unbounded_lru(holder),
        file=_module_file(path),
        sites=sites,
    )


def _module_file(path: str) -> str | None:
    """Return the file of the module a path starts in."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        module = sys.modules.get(".".join(parts[:end]))
        if module is not None:
            return getattr(module, "__file__", None)
    return None


def _below(
    holder: object, newborn: Newborn
) -> tuple[dict[Stack, int], tuple[str, ...]]:
    """Walk down from the newest entries among the newborn only."""
    entries = _newest_for(type(holder))
    assert entries is not None  # noqa: S101 - it was found by this table
    kinds: Counter[str] = Counter()
    pending: deque[object] = deque()
    for entry in islice(entries(holder), _WALKED_ENTRIES):
        kinds.update(_kind(part) for part in entry if newborn.holds(part))
        pending.extend(part for part in entry if newborn.holds(part))
    seen: set[int] = set()
    sites: Counter[Stack] = Counter()
    while pending and len(seen) < _WALKED_OBJECTS:
        item = pending.popleft()
        if id(item) in seen:
            continue
        seen.add(id(item))
        stack = stack_of(item)
        if stack is not None:
            sites[stack] += 1
        if gc.is_tracked(item):
            below = gc.get_referents(item)
            pending.extend(part for part in below if newborn.holds(part))
    return dict(sites), tuple(kind for kind, _ in kinds.most_common(6))


def _kind(item: object) -> str:
    """Return the type's name; classes, whatever their metaclass, are ``type``."""
    return "type" if is_a(item, type) else type_name(item)


def _length(item: object) -> int:
    """Return a container's length past any ``__len__`` of its class; else 0."""
    measure = _length_for(type(item))
    return measure(item) if measure else 0


def _length_for(kind: type) -> Callable[[Any], int] | None:
    found = _LENGTHS.get(kind)
    if found is None and kind not in _LENGTHS:
        for base in (dict, list, set, frozenset, deque):
            if issubclass(kind, base):
                return base.__len__
    return found


def _lru_length(item: Any) -> int:  # noqa: ANN401 - the C type has no public name
    return int(item.cache_info().currsize)


def _newest_of_dict(item: dict[object, object]) -> Iterator[tuple[object, ...]]:
    return iter(reversed(dict.items(item)))


def _newest_of_list(item: list[object]) -> Iterator[tuple[object, ...]]:
    return ((part,) for part in list.__reversed__(item))


def _any_of_set(item: set[object]) -> Iterator[tuple[object, ...]]:
    return ((part,) for part in set.__iter__(item))


def _ends_of_deque(item: deque[object]) -> Iterator[tuple[object, ...]]:
    """Both ends in turn: queues are filled at either."""
    back, front = deque.__reversed__(item), deque.__iter__(item)
    half = (len(item) + 1) // 2
    return (
        (part,) for pair in islice(zip(back, front, strict=False), half) for part in pair
    )


def _newest_of_lru(item: object) -> Iterator[tuple[object, ...]]:
    """The wrapper's referents: newest results come last of its linked list."""
    return ((part,) for part in reversed(gc.get_referents(item)))


Newest = Callable[..., Iterator[tuple[object, ...]]]
_NEWEST: dict[type, Newest] = {
    dict: _newest_of_dict,
    list: _newest_of_list,
    set: _any_of_set,
    deque: _ends_of_deque,
    functools._lru_cache_wrapper: _newest_of_lru,  # noqa: SLF001 - its only name
}
_LENGTHS: dict[type, Callable[[Any], int]] = {
    dict: len,
    list: len,
    set: len,
    deque: len,
    functools._lru_cache_wrapper: _lru_length,  # noqa: SLF001 - as above
}
#: Types that hold no container worth looking for, and there are very many of them.
_LEAVES = frozenset(
    {
        types.FunctionType,
        types.BuiltinFunctionType,
        types.MethodType,
        types.CellType,
        types.CodeType,
        types.GetSetDescriptorType,
        types.MemberDescriptorType,
        types.WrapperDescriptorType,
        types.MethodDescriptorType,
        types.ClassMethodDescriptorType,
        types.MappingProxyType,
        property,
        staticmethod,
        classmethod,
        tuple,
        weakref.ref,
    }
)


def _newest_for(kind: type) -> Newest | None:
    """Return how to iterate a container type, past whatever a subclass overrides."""
    for base, newest in _NEWEST.items():
        if issubclass(kind, base):
            return newest
    return None
