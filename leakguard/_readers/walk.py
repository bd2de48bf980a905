"""A walk from the named roots down, a few objects at a time.

It sees what a developer could write down: the variables of modules and classes, what
functions keep in closures and defaults, the attributes and entries below. Of a long
container just the newest entries are looked at, so the walk sees the program's
structure and little of its data. What is new in there can be looked through for one
object. No step takes more than a few milliseconds.

Rules of this file: no code of the user's runs; no instance is made to have a
``__dict__`` by looking at it; what was seen is held until the walk is dropped, and is
never more than its number of objects.
"""

from __future__ import annotations

import gc
import sys
import time
import types
import weakref
from array import array
from itertools import chain, repeat
from operator import is_
from typing import TYPE_CHECKING

from leakguard._readers.attributes import (
    dict_of,
    is_a,
    is_any,
    module_file,
    module_tables,
    referents_of,
)
from leakguard._readers.containers import LRU, entries, length_of, newest_entries
from leakguard._readers.source import is_own, library_directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: Objects that one walk sees: a web application's structure is 20 000 to 100 000.
MOST_OBJECTS = 100_000
#: A walk rests this long after so many objects, which take about 5 ms.
_STEP, _REST_SECONDS = 2_000, 0.001
#: A container is read whole up to this length, and beyond it some of its newest.
_WHOLE, _SAMPLED = 256, 64
#: Below long containers: so many entries are looked through at a time and of one
#: container, so many references deep, in so many objects of one level and in all; what
#: is longer is passed by.
_ENTRIES, _MOST_ENTRIES, _DEEP, _AT_ONCE = 2_048, 100_000, 6, 16_384
MOST_BELOW, _LONG = 131_072, 16_384
#: Share of the objects that the application's own modules may lead to.
_OWN_SHARE = 0.7
#: Variables of one module.
_MOST_VARIABLES = 20_000
#: What leads to nothing that grows, and there is much of it.
_LEAVES = frozenset(
    map(
        id,
        (
            str,
            bytes,
            int,
            float,
            complex,
            bool,
            type(None),
            types.CodeType,
            types.ModuleType,
            types.BuiltinFunctionType,
            types.GetSetDescriptorType,
            types.MemberDescriptorType,
            types.WrapperDescriptorType,
            types.MethodDescriptorType,
            types.ClassMethodDescriptorType,
            weakref.ref,
        ),
    )
)


class Walk:
    """One walk, breadth first: below the application's modules, then the others."""

    def __init__(
        self,
        most_objects: int = MOST_OBJECTS,
        hidden: Iterable[int] = (),
        rest: Callable[[float], object] = time.sleep,
        *,
        libraries: bool = True,
    ) -> None:
        """Begin at the modules; ``rest`` is called between two steps.

        ``hidden`` are ids of the profiler's own containers; without ``libraries`` only
        the application's own modules are roots.
        """
        self._rest = rest
        self._items: list[object] = []
        self._long_ones: list[tuple[int, object]] = []
        self._parents = array("q")
        self._looked = 0  # below so many of the first
        self.own_ids = {id(self), id(self._items), id(self._long_ones)}
        self._at = dict.fromkeys((*hidden, *self.own_ids), -1)
        own, others = _tables()
        self._at.update((id(table), -1) for table in (*own, *others))
        self._stages = [(own, most_objects)]
        if libraries:
            own_share = int(most_objects * _OWN_SHARE)
            self._stages = [(own, own_share), (others, most_objects)]

    def __contains__(self, ident: int) -> bool:
        """Return whether the object of this ``id`` was seen."""
        return self._at.get(ident, -1) >= 0

    def __iter__(self) -> Iterator[object]:
        """Iterate over what was seen, nearest to the roots first."""
        return iter(self._items)

    def run(self, out_of_time: Callable[[], bool]) -> None:
        """Walk, until all is seen that may be, or until it is time to end."""
        at = 0
        for tables, most in self._stages:
            for table in tables:
                self._add(table, -1)
            while at < len(self._items):
                if len(self._items) < most:
                    self._look_below(at, most)
                    self._looked += at == self._looked
                at += 1
                if at % _STEP == 0:
                    self._rest(_REST_SECONDS)
                    if out_of_time():
                        return

    def chain_to(
        self,
        target: object,
        most_compared: int = 0,
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> list[object]:
        """Return the objects from the root to the target, or nothing.

        If it was not seen, so many entries of long containers are compared with it,
        at 0.05 us for each.
        """
        if id(target) in self:
            return self._chain(self._at[id(target)])
        return self.chain_to_entry([target], most_compared, out_of_time)

    def chain_to_entry(
        self,
        targets: list[object],
        most_compared: int,
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> list[object]:
        """Return the objects from the root to one that a long container holds.

        Or nothing. It costs what ``chain_to`` does, for any number of targets.
        """
        wanted = {id(target): target for target in targets}
        for at, item in self._long():
            length = length_of(item)
            if length <= most_compared:
                most_compared -= length
                found = _held_one(item, wanted)
                if found is not None:
                    return [*self._chain(at), wanted[found]]
                if out_of_time():
                    break
        return []

    def chain_below(
        self,
        targets: list[object],
        most_seen: int = MOST_BELOW,
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> list[object]:
        """Return the objects from the root to one that an entry leads to, or nothing.

        It looks below the newest entries of each long container, some references deep,
        then below older ones, at 0.7 us for each of about so many objects.
        """
        seen = rested = 0
        wanted = {id(target): target for target in targets}
        for at, item, start in self._slices():
            entries = newest_entries(item, _ENTRIES, start)
            below = _Below(chain.from_iterable(entries), self)
            found = below.chain_to_one_of(wanted)
            if found:
                return [*self._chain(at), *found]
            seen += len(below)
            if seen - rested > _STEP:
                self._rest(_REST_SECONDS)
                rested = seen
            if seen > most_seen or out_of_time():
                break
        return []

    def _slices(self) -> Iterator[tuple[int, object, int]]:
        """Yield the long containers and where to begin in each, in rounds."""
        left = self._long()
        for start in range(0, _MOST_ENTRIES, _ENTRIES):
            left = [one for one in left if length_of(one[1]) > start]
            yield from ((at, item, start) for at, item in left)

    def knows(self, item: object) -> bool:
        """Return whether it was looked below the object, or need not be."""
        return self._at.get(id(item), self._looked) < self._looked

    def _long(self) -> list[tuple[int, object]]:
        """Return the long containers and their places, listed when first asked for."""
        if not self._long_ones:
            found = enumerate(self._items)
            self._long_ones += (one for one in found if length_of(one[1]) > _WHOLE)
        return self._long_ones

    def _chain(self, at: int) -> list[object]:
        found = []
        while at >= 0:
            found.append(self._items[at])
            at = self._parents[at]
        return found[::-1]

    def _add(self, item: object, parent: int) -> None:
        self._at[id(item)] = len(self._items)
        self._items.append(item)
        self._parents.append(parent)

    def _look_below(self, at: int, most: int) -> None:
        known = self._at  # modules are leaves: their dicts are roots
        for part in _parts(self._items[at], is_root=self._parents[at] < 0):
            if id(type(part)) in _LEAVES or id(part) in known:
                continue
            if gc.is_tracked(part) or type(part) is dict:
                if len(self._items) >= most:
                    return
                self._add(part, at)


class _Below:
    """What some entries lead to, level by level, but what the walk knows."""

    def __init__(self, entries: Iterable[object], walk: Walk) -> None:
        self._walk = walk
        self._skipped: dict[int, bool] = {}
        self._seen: dict[int, object] = {}
        self._levels = [self._new(entries)]

    def __len__(self) -> int:
        return len(self._seen)

    def chain_to_one_of(self, wanted: dict[int, object]) -> list[object]:
        """Return the objects from an entry to one that is wanted, by id, or nothing."""
        for _ in range(_DEEP):
            parts = gc.get_referents(*self._levels[-1])
            found = next(filter(wanted.__contains__, map(id, parts)), None)
            if found is not None:
                return self._chain(wanted[found])
            self._levels.append(self._new(parts))
        return []

    def _new(self, parts: Iterable[object]) -> list[object]:
        """Return which of them may lead on and were not seen before."""
        new = {id(part): part for part in parts if self._leads_on(part)}
        for ident in new.keys() & self._seen.keys():
            del new[ident]
        self._seen.update(new)
        return list(new.values())[:_AT_ONCE]

    def _leads_on(self, part: object) -> bool:
        kind = type(part)
        skipped = self._skipped.get(id(kind))
        if skipped is None:  # a class leads to all that there is
            skipped = id(kind) in _LEAVES or is_any(part, (type, types.ModuleType))
            self._skipped[id(kind)] = skipped
        if skipped or not gc.is_tracked(part) or self._walk.knows(part):
            return False
        return length_of(part) <= _LONG

    def _chain(self, target: object) -> list[object]:
        found = [target]
        for level in reversed(self._levels):
            for item in level:
                if any(map(is_, gc.get_referents(item), repeat(found[-1]))):
                    found.append(item)
                    break
            else:  # another thread has changed it
                return []
        return found[::-1]


def _tables() -> tuple[list[object], list[object]]:
    """Return the dicts of the application's modules and of the others, but ours.

    What is imported comes before who imports it, to be named after its home.
    """
    places = library_directories()
    found: tuple[list[object], list[object]] = ([], [])
    for name, table in reversed(module_tables()):
        file = module_file(name)
        if file is None or not is_own(file):
            known = name.partition(".")[0] in sys.stdlib_module_names
            found[known if file is None else file.startswith(places)].append(table)
    return found


def _held_one(container: object, wanted: dict[int, object]) -> int | None:
    """Return the id of an object that the container holds of those that are wanted."""
    parts = map(id, chain.from_iterable(entries(container)))
    try:
        return next(filter(wanted.__contains__, parts), None)
    except RuntimeError:  # another thread changes it
        return None


def _parts(item: object, *, is_root: bool) -> Iterable[object]:
    """Return what an object leads to, of a long container its newest entries."""
    kind = type(item)
    if kind is tuple:
        return item[:_WHOLE]  # type: ignore[index,no-any-return]
    if kind is not types.FunctionType and kind is not types.CellType:
        if length_of(item) > (_MOST_VARIABLES if is_root else _WHOLE):
            return chain.from_iterable(newest_entries(item, _SAMPLED))
        if kind is type or is_a(item, type):
            return list(dict_of(item).values())  # type: ignore[arg-type]
        return () if kind is LRU else referents_of(item)
    return gc.get_referents(item)
