"""Ask the garbage collector which objects live, and count them by type.

Rules of this file: no code of the user's runs (no attribute of an object, no
metaclass method, no ``repr``); counting allocates next to nothing, because it is
done while tracing runs; and no tuple is held while another thread may run. A tuple
that is just being made must have no second owner, or making it fails there with a
``SystemError``. So what handles tuples is one call of C code, put together from
``itertools``: the interpreter changes threads only between two steps of bytecode. No
collection may come between either, for it calls finalizers and ``gc.callbacks``. The
iterators are used up to their ends, for a listing has them in it too: one that still
held the listing would be in a cycle with it.

Only objects that can be part of a cycle are seen: no ``str``, ``int`` or ``bytes``,
no tuple of such.
"""

from __future__ import annotations

import gc
import sys
from functools import partial
from itertools import chain, compress, islice, repeat, starmap, tee
from operator import is_, is_not
from typing import TYPE_CHECKING, TypeVar

from leakguard._readers.attributes import dict_of, mro_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")

#: Types are counted in slices of this many.
_SLICE = 1_000

#: More frozen objects than this, and the application has frozen its heap. Before
#: that, CPython 3.12 shows 375 (0 on 3.10, 3.11, 3.13): ``update_refs`` in its
#: gcmodule.c moves immortal objects to the permanent generation. An interpreter
#: with nothing imported has 3 900 objects to freeze.
MOST_FROZEN_AT_START = 2_000

#: A prime, so that what the program allocates in groups is not missed in step.
SAMPLE_EVERY = 61

_SWITCH = (gc.disable, gc.enable)
_CALL = type(gc.enable).__call__
_HASHING = ("__hash__", "__eq__")

_module_of: Callable[[type], object] = type.__dict__["__module__"].__get__
_qualname_of: Callable[[type], object] = type.__dict__["__qualname__"].__get__


def type_name(item: object) -> str:
    """Return the name of the object's type, whatever its ``__class__`` pretends."""
    return name_of_type(type(item))


def name_of_type(kind: type) -> str:
    """Return ``"module.qualname"``; builtins go without their module."""
    try:
        module = _module_of(kind)
    except AttributeError:  # deleted by its owner
        module = None
    name = _plain(_qualname_of(kind)) or "?"
    prefix = _plain(module)
    return name if prefix in {None, "", "builtins"} else f"{prefix}.{name}"


def newborn_count() -> int:
    """Return how many objects the collector sees: after ``freeze()``, the new ones.

    Cost: about 0.01 µs per object.
    """
    return _in_one_step(sum, map(len, _listed()))


def newborn_ids() -> set[int]:
    """Return the ids of the objects that the collector sees, tuples among them."""
    return _in_one_step(set, map(id, chain.from_iterable(_listed())))


def objects_but_tuples() -> list[object]:
    """Return what the collector sees, without tuples. Drop it soon.

    Cost: about 60 ms per million objects.
    """
    return _but_tuples(_listed())


def holders_of(targets: Sequence[object], most_tuples: int = 80) -> list[object]:
    """Return what refers to one of ``targets``, directly or through one tuple.

    Without tuples. At most so many tuples are asked about. Cost: one pass over the
    heap (20-50 ns per object), a second one if there are tuples in between, and 2 ns
    per object more for each further target or tuple; all of it under the GIL.
    """
    near, listed, asked = tee(starmap(gc.get_referrers, (targets,)), 3)
    kinds = map(map, repeat(type), asked)
    are_tuples = map(map, repeat(partial(is_, tuple)), kinds)
    between = map(islice, map(compress, listed, are_tuples), repeat(most_tuples))
    tuples, done = tee(map(list, between))
    beyond = starmap(gc.get_referrers, filter(None, tuples))
    return _but_tuples(chain(near, beyond), done)


def live_type_counts() -> dict[str, int]:
    """Return a full census by type; objects the application froze are not in it.

    Cost: 0.05 µs per object; of it 0.01 to 0.03, in a scattered heap up to 0.15, in
    one piece under the GIL. 16 bytes per object while it lasts.
    """
    kinds = map(type, chain.from_iterable(_listed()))
    return count_types(_in_one_step(list, kinds))


def sampled_type_counts(
    every: int = SAMPLE_EVERY, pick: Callable[[int], int] | None = None
) -> dict[str, int]:
    """Return an unbiased estimate of ``live_type_counts()`` from one in ``every``.

    Each object is counted with the same probability, whatever its neighbours:
    ``pick(every)`` draws the first of each stretch. A type with n objects is off by
    about ``sqrt(n * every)``. Cost: 0.01 µs per object, mostly to list them.
    """
    if pick is None:
        from random import Random

        pick = Random().randrange  # noqa: S311 - not the program's own generator
    stretch = every * 256
    starts = range(0, _most_objects(), stretch)
    slices = [slice(start + pick(every), start + stretch, every) for start in starts]
    whole = chain.from_iterable(map(repeat, _listed(), (len(slices),)))
    sampled = chain.from_iterable(map(list.__getitem__, whole, slices))
    counts = count_types(_in_one_step(list, map(type, sampled)))
    return {name: count * every for name, count in counts.items()}


def count_types(kinds: list[type]) -> dict[str, int]:
    """Return how often each type is in the list, by name, the most frequent first."""
    counts: dict[str, int] = {}
    for kind, count in _tally(kinds, _self_hashing_metaclasses()):
        name = name_of_type(kind)
        counts[name] = counts.get(name, 0) + count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def can_freeze() -> bool:
    """Return whether ``gc.freeze()`` may be used here and undone afterwards.

    Not where the application froze its heap (gunicorn's preload idiom): an unfreeze
    would undo that. Not on a free-threaded interpreter: it marks every object.
    Cost: below 1 µs; if frozen already, a walk over what is frozen.
    """
    if not hasattr(gc, "freeze") or not _has_gil():
        return False
    return gc.get_freeze_count() <= MOST_FROZEN_AT_START


def freeze() -> bool:
    """Move all that lives out of the collector's sight; False if not allowed.

    Only who got True may call ``unfreeze()``. Cost: a few µs, whatever the heap.
    """
    if not can_freeze():
        return False
    gc.freeze()
    return True


def unfreeze() -> None:
    """Undo a ``freeze()`` that returned True. Cost: a few µs."""
    gc.unfreeze()


def _has_gil() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _plain(text: object) -> str | None:
    """Return a real ``str``, or nothing: ``__module__`` may be anything at all."""
    return str.__str__(text) if issubclass(type(text), str) else None


def _listed() -> Iterator[list[object]]:
    """List what the collector sees when it is asked for the first item."""
    return starmap(gc.get_objects, ((),))


def _but_tuples(
    lists: Iterator[list[object]], *others: Iterator[list[object]]
) -> list[object]:
    """Return what the lists hold, without tuples, and empty them and the others."""
    one, other, whole = tee(lists, 3)
    kinds = map(type, chain.from_iterable(other))
    kept = compress(chain.from_iterable(one), map(is_not, kinds, repeat(tuple)))
    emptied = map(list.clear, chain(whole, *others))
    return _in_one_step(list, chain(kept, compress(emptied, repeat(()))))


def _in_one_step(make: Callable[[Iterator[T]], R], items: Iterator[T]) -> R:
    """Return ``make(items)``, a call of C code; no collection comes between.

    Until CPython 3.12 one comes with any allocation. The collector is asked, switched
    off and switched on again within the same call, so that no other thread sees it.
    """
    was_on, is_due = tee(starmap(gc.isenabled, ((),)))
    off = starmap(gc.disable, map(().__mul__, was_on))
    on = map(_CALL, map(_SWITCH.__getitem__, is_due))
    try:
        return make(chain(filter(None, off), items, filter(None, on)))
    finally:
        list(on)  # only where the call failed is it still to do


def _most_objects() -> int:
    """Return more than the collector can see: most objects are a block each."""
    return 2 * sys.getallocatedblocks() + 1_000_000


def _tally(kinds: list[type], odd: frozenset[type]) -> Iterator[tuple[type, int]]:
    """Count by appending: unlike adding up, it creates no int to be traced."""
    marks: dict[type, list[None]] = {}
    aside: dict[int, list[type]] = {}
    for at in range(0, len(kinds), _SLICE):
        part = kinds[at : at + _SLICE]
        if odd and not odd.isdisjoint(map(type, part)):
            part = _set_aside(part, odd, aside)
        for kind in part:
            try:
                marks[kind].append(None)
            except KeyError:  # noqa: PERF203 - rare, and the quick way for the others
                marks[kind] = [None]
    yield from ((kind, len(found)) for kind, found in marks.items())
    yield from ((found[0], len(found)) for found in aside.values())


def _set_aside(
    kinds: list[type], odd: frozenset[type], aside: dict[int, list[type]]
) -> list[type]:
    """Return the types that may be hashed; the others are counted by id."""
    rest: list[type] = []
    for kind in kinds:
        if type(kind) in odd:
            aside.setdefault(id(kind), []).append(kind)
        else:
            rest.append(kind)
    return rest


def _self_hashing_metaclasses() -> frozenset[type]:
    """Return the metaclasses that hash or compare their classes in their own way.

    Such a class as a key would run foreign code, and it may even be unhashable;
    typing_extensions has one. Cost: 2 µs for each metaclass of the process.
    """
    found: list[type] = []
    metaclasses: list[type] = [type]
    for metaclass in metaclasses:
        metaclasses += type.__subclasses__(metaclass)
        bases = (
            base
            for base in mro_of(metaclass)
            if base is not type and base is not object
        )
        if any(name in dict_of(base) for base in bases for name in _HASHING):
            found.append(metaclass)
    return frozenset(found)
