"""What an owner keeps: the bytes that would be freed with it.

The entries of a long container are much alike, so a few of them are measured and the
rest is reckoned: an estimate, and marked as one. Where that shows that little hangs on
it, and only for a program under diagnosis, pympler's ``asizeof`` measures all.

Rules of this file: sizes are asked of the built-in types, past any ``__sizeof__`` of
the user's; modules, classes and code belong to nobody's entries. ``asizeof`` asks the
objects themselves and so may run their code, therefore never in production.
"""

from __future__ import annotations

import gc
import types
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from leakguard._readers.attributes import dict_of, is_any, mro_of, referents_of
from leakguard._readers.containers import length_of, newest_entries

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Entries that are measured, and objects below each of them.
_MEASURED_ENTRIES, _OBJECTS_PER_ENTRY = 64, 400
#: Up to so many objects all are measured: ``asizeof`` takes 11 us for each.
_MEASURED_WHOLE = 10_000
#: The collector keeps two words before what it tracks.
_HEAD_BYTES = 16
#: What belongs to the program and not to what holds it.
_SHARED = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.FrameType,
)


class Retained(NamedTuple):
    """Bytes, and whether they were reckoned from a sample."""

    size_bytes: int
    is_estimate: bool


def retained(owner: object, *, exact: bool = False) -> Retained:
    """Return what is freed with an object, as far as can be seen below it.

    With ``exact`` pympler measures where little hangs on it, or whatever it can.
    Cost: below 10 ms; with ``exact`` up to 0.1 s.
    """
    seen = {id(owner)}
    length = length_of(owner)
    entries = newest_entries(owner, _MEASURED_ENTRIES) if length else []
    if not entries:
        size, ended = _below(_parts(owner), seen, _OBJECTS_PER_ENTRY * 10)
        found = Retained(_size_of(owner) + size, is_estimate=not ended)
    else:
        sizes = [_below(entry, seen, _OBJECTS_PER_ENTRY)[0] for entry in entries]
        # What the entries share is seen with the first ones.
        later = sizes[len(sizes) // 2 :]
        rest = (length - len(sizes)) * sum(later) / len(later)
        size = _size_of(owner) + sum(sizes) + int(max(0.0, rest))
        found = Retained(size, is_estimate=length > len(sizes))
    objects = len(seen) * max(1, length // max(1, len(entries)))
    if exact and objects <= _MEASURED_WHOLE:
        return _measured(owner) or found
    return found


def _measured(owner: object) -> Retained | None:
    """Return what pympler measures; it does not know every type and every Python."""
    try:
        from pympler.asizeof import asizeof

        size: int = asizeof(owner)  # type: ignore[no-untyped-call]
        return Retained(size, is_estimate=False)
    except Exception:  # noqa: BLE001 - whatever the objects' own code raises
        return None


def _below(
    parts: Iterable[object], seen: set[int], most_objects: int
) -> tuple[int, bool]:
    """Return the size of what is not seen yet, and whether that was all of it."""
    size, left = 0, most_objects
    pending = deque(parts)
    while pending:
        item = pending.popleft()
        if id(item) in seen or is_any(item, _SHARED):
            continue
        if left == 0:
            return size, False
        left -= 1
        seen.add(id(item))
        size += _size_of(item)
        if gc.is_tracked(item) or type(item) is dict:
            pending.extend(_parts(item))
    return size, True


def _parts(item: object) -> list[object]:
    """Return what an object leads to, of a long container the newest entries."""
    if length_of(item) > _OBJECTS_PER_ENTRY:
        newest = newest_entries(item, _MEASURED_ENTRIES)
        return [part for entry in newest for part in entry]
    return referents_of(item)


def _size_of(item: object) -> int:
    for base in mro_of(type(item)):
        measure = dict_of(base).get("__sizeof__")
        if type(measure) is types.MethodDescriptorType:
            head = _HEAD_BYTES if gc.is_tracked(item) else 0
            return int(measure(item)) + head
    return 0
