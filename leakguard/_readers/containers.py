"""Containers by length and by newest entry, past whatever their classes override.

No user code runs: a subclass of ``dict`` is measured as the dict it is. Only what can
be read without allocating much is read, since tracing may be on.
"""

from __future__ import annotations

import functools
import gc
import io
import types
import weakref
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

from leakguard._readers.attributes import mro_of, referents_of

#: Shorter containers are no leak yet, and there are very many of them.
SHORT = 8
#: Readings of a container that another thread keeps changing.
_ATTEMPTS = 3
#: Instances of one type that are searched for dicts the collector ignores.
_LOOKED_INTO = 2_000

Entries = Iterator[tuple[object, ...]]
LRU = functools._lru_cache_wrapper  # noqa: SLF001 - the type has no public name


def containers_in(heap: list[object]) -> Iterator[object]:
    """Yield the containers and buffers of a heap, also those the collector ignores.

    A dict of nothing but atoms is not tracked (before 3.14), nor is a bytearray, so
    they are seen only through the object that refers to them. Cost: about 1 us per
    object of the heap, several times that while tracing.
    """
    looked_into: Counter[int] = Counter()
    lengths: dict[int, bool] = {}
    seen = _dicts_of_lrus(heap)
    for item in heap:
        kind = type(item)
        if id(kind) in _LEAVES or id(item) in seen:
            continue
        is_container = lengths.get(id(kind))
        if is_container is None:
            known = id(kind) in _BYTES or _length_for(kind) is not None
            is_container = lengths[id(kind)] = known
        if is_container:
            yield item
            if kind is not dict:
                continue
        elif looked_into[id(kind)] < _LOOKED_INTO:
            looked_into[id(kind)] += 1
        else:
            continue
        for part in _parts(item, kind):
            if id(type(part)) not in _IGNORED or gc.is_tracked(part):
                continue
            if size_of(part) >= SHORT and id(part) not in seen:
                seen.add(id(part))
                yield part


def _parts(item: object, kind: type) -> Iterable[object]:
    if kind is dict:
        return list(dict.values(item))  # type: ignore[arg-type]
    return referents_of(item)


def length_of(item: object) -> int:
    """Return a container's length past any ``__len__`` of its class; else 0."""
    measure = _length_for(type(item))
    return measure(item) if measure else 0


def size_of(item: object) -> int:
    """Return a container's length, or how many bytes are in a buffer; else 0."""
    measure = _BYTES.get(id(type(item)), length_of)
    return measure(item)


def is_buffer(item: object) -> bool:
    """Return whether ``size_of`` gives bytes."""
    return id(type(item)) in _BYTES


def _length_for(kind: type) -> Callable[[Any], int] | None:
    found = _LENGTHS.get(id(kind))
    if found is not None:
        return found
    for base in mro_of(kind)[1:]:
        found = _LENGTHS.get(id(base))
        if found is not None:
            return found
    return None


def _lru_length(item: Any) -> int:  # noqa: ANN401 - the C type has no public name
    return int(LRU.cache_info(item).currsize)


def _written(item: io.BytesIO | io.StringIO) -> int:
    try:
        return type(item).tell(item)
    except ValueError:  # it is closed
        return 0


def _newest_of_dict(item: dict[object, object]) -> Entries:
    return iter(reversed(dict.items(item)))


def _newest_of_list(item: list[object]) -> Entries:
    return zip(list.__reversed__(item))


def _any_of_set(item: set[object]) -> Entries:
    return zip(set.__iter__(item))


def _ends_of_deque(item: deque[object]) -> Entries:
    """Give both ends in turn: queues are filled at either."""
    return zip(
        chain.from_iterable(
            zip(deque.__reversed__(item), deque.__iter__(item), strict=False)
        )
    )


def _newest_of_lru(item: object) -> Entries:
    """Give the newest results and keys of an ``lru_cache``.

    With a ``maxsize`` they are the wrapper's referents, in the order of its linked
    list; without one they stay in its dict.
    """
    parts = referents_of(item)
    length = _lru_length(item)
    for part in parts:
        if type(part) is dict and len(part) == length and len(parts) < length:
            return _newest_of_dict(part)
    return zip(reversed(parts))


def _dicts_of_lrus(heap: list[object]) -> set[int]:
    """Return the ids of dicts inside ``lru_cache`` wrappers, which own the bound."""
    return {
        id(part)
        for item in heap
        if type(item) is LRU
        for part in referents_of(item)
        if type(part) is dict
    }


Newest = Callable[..., Entries]
_NEWEST: dict[int, Newest] = {
    id(dict): _newest_of_dict,
    id(list): _newest_of_list,
    id(set): _any_of_set,
    id(deque): _ends_of_deque,
    id(LRU): _newest_of_lru,
}
#: By ``id`` of the type: looking a class up asks for its hash, maybe a metaclass's.
_LENGTHS: dict[int, Callable[[Any], int]] = {
    id(dict): dict.__len__,
    id(list): list.__len__,
    id(set): set.__len__,
    id(frozenset): frozenset.__len__,
    id(deque): deque.__len__,
    id(LRU): _lru_length,
}
#: Buffers, without their subclasses, and how many bytes are in one.
_BYTES: dict[int, Callable[[Any], int]] = {
    id(bytearray): bytearray.__len__,
    id(array): lambda item: array.__len__(item) * item.itemsize,
    id(io.BytesIO): _written,
    id(io.StringIO): _written,
}
#: What the collector does not see, or not always.
_IGNORED = frozenset(map(id, (dict, bytearray, array)))
#: Types that hold no container worth looking for, and there are very many of them.
_LEAVES = frozenset(
    map(
        id,
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
        },
    )
)


def _newest_for(kind: type) -> Newest | None:
    """Return how to iterate a container type, past whatever a subclass overrides."""
    for base in mro_of(kind):
        newest = _NEWEST.get(id(base))
        if newest is not None:
            return newest
    return None


def entries(item: object) -> Entries:
    """Iterate over a container's entries from its newest end, as tuples of parts."""
    newest = _newest_for(type(item))
    return newest(item) if newest else iter(())


def newest_entries(
    item: object, most: int, skipped: int = 0
) -> list[tuple[object, ...]]:
    """Return a container's entries from its newest end, as tuples of their parts.

    A dict gives (key, value) pairs; a set, which has no order, any of its members.
    Read in one piece: another thread may be changing it, and all below is C code.
    """
    for _ in range(_ATTEMPTS):
        try:
            return list(islice(entries(item), skipped, skipped + most))
        except RuntimeError:  # noqa: PERF203 - changed while it was read all the same
            continue
    return []
