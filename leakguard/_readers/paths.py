"""From an object up to a named root: who holds it, in words a developer reads.

The chain of live objects that ``climb`` returns must be dropped by the caller as
soon as it has been described: descriptions hold names, never objects. No user code
runs: attributes are read past descriptors, keys are never formatted by ``repr``.
"""

from __future__ import annotations

import functools
import re
import types
from collections import Counter, deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from leakguard._core.records import Link
from leakguard._readers.attributes import (
    attributes_of,
    dict_of,
    instance_dict,
    is_a,
    is_any,
    modules_by_dict,
    referents_of,
)
from leakguard._readers.heap import holders_of, name_of_type, type_name
from leakguard._readers.source import is_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Levels of referrers searched; real owners are rarely more than six hops away.
MAX_DEPTH = 14
#: Objects asked about in one pass over the heap: its cost grows with the targets.
MAX_FRONTIER = 80
MAX_OF_ONE_TYPE = 12
#: Whom to ask first; instances of other types come with the second group.
_INTERESTING: tuple[tuple[type, ...], ...] = (
    (dict, types.CellType),
    (types.FunctionType,),
    (list, tuple, set, deque),
    (types.BuiltinFunctionType, types.MethodType, types.CoroutineType),
)
#: A key is shown when it looks like a program's own name and its dict is small
#: enough to be a table of the program's; anything else may be a user's data.
_NAME_LIKE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,30}\Z")
_NAMED_KEYS_IN_DICT = 64


def climb(
    target: object, *, hidden: set[int], out_of_time: Callable[[], bool]
) -> list[object]:
    """Return the shortest chain of holders, root first, ending in ``target``.

    ``hidden`` are ids of the profiler's own containers. Without a known root within
    ``MAX_DEPTH`` levels the chain holds what was found below the lost end, or just
    the target. Cost: one pass over the heap per level (20-50 ns per object).
    """
    modules = modules_by_dict()
    alive: dict[int, object] = {id(target): target}
    parents: dict[int, int] = {}
    frontier = [target]
    mine = hidden | {id(alive), id(parents), id(modules)}
    for _ in range(MAX_DEPTH):
        if not frontier or out_of_time():
            break
        holders = holders_of(frontier)
        mine.update((id(frontier), id(holders)))
        wanted = {id(item) for item in frontier}
        found: list[object] = []
        frames: list[object] = []
        for holder in holders:
            if id(holder) in alive or id(holder) in mine or _is_ours(holder):
                continue
            below = _below(holder, wanted)
            if not below:
                continue
            for child, parent in pairwise((*below, holder)):
                alive[id(parent)] = parent
                parents.setdefault(id(parent), id(child))
            if is_a(holder, types.FrameType):
                frames.append(holder)  # a module or a class at this level says more
            elif _is_root(holder, modules):
                return _chain(id(holder), parents, alive)
            else:
                found.append(holder)
        if frames:
            return _chain(id(frames[0]), parents, alive)
        frontier = _next_frontier(found)
        mine.add(id(found))
        del holders
    return [target]


def describe(chain: Sequence[object]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the dotted path of a chain and its hops as (name, type) pairs."""
    modules = modules_by_dict()
    path = _root_name(chain[0], modules)
    hops = [(path, type_name(chain[0]) if id(chain[0]) not in modules else "module")]
    for index in range(1, len(chain)):
        parent, child = chain[index - 1], chain[index]
        holder = chain[index - 2] if index >= 2 else None
        if _is_attribute_dict(child, parent):
            continue
        attributes = id(parent) in modules or _is_attribute_dict(parent, holder)
        if is_a(holder, types.FunctionType) and parent is holder.__closure__:
            piece = _variable(holder, child)
        else:
            piece = _edge(parent, child, attributes=attributes)
        if not piece:
            continue
        path += piece
        hops.append((path, type_name(child)))
    return path, tuple(hops)


def links_of(
    hops: Iterable[tuple[str, str]],
    holder_path: str,
    evidence: str,
    *,
    measured: bool = True,
) -> tuple[Link, ...]:
    """Return the hops as links: healthy down to the holder that grows.

    Unless all containers were ``measured``, their health is unknown.
    """
    found = []
    for name, kind in hops:
        if name == holder_path:
            found.append(Link(name, kind, "leaking", evidence))
        elif kind == "module":
            why = "a module lives as long as the program"
            found.append(Link(name, kind, "healthy", why))
        elif measured:
            found.append(Link(name, kind, "healthy", "it does not grow itself"))
        else:
            found.append(Link(name, kind, "unknown", "its growth was not measured"))
    return tuple(found)


def _is_ours(holder: object) -> bool:
    if is_a(holder, types.FrameType):
        return is_own(holder.f_code.co_filename)
    return False


def _is_root(holder: object, modules: dict[int, str]) -> bool:
    return is_any(holder, (type, types.ModuleType)) or id(holder) in modules


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


def _chain(
    root: int, parents: dict[int, int], alive: dict[int, object]
) -> list[object]:
    chain = [alive[root]]
    while root in parents:
        root = parents[root]
        chain.append(alive[root])
    return chain


def _root_name(root: object, modules: dict[int, str]) -> str:
    if id(root) in modules:
        return modules[id(root)]
    if is_a(root, types.ModuleType):
        return str(types.ModuleType.__getattribute__(root, "__name__"))
    if is_a(root, type):
        return name_of_type(root)
    if is_a(root, types.FrameType):
        return f"{root.f_code.co_name}() frame"
    return type_name(root)


def _is_attribute_dict(child: object, parent: object | None) -> bool:
    if type(child) is not dict or parent is None:
        return False
    if is_a(parent, type):
        return "__module__" in child
    return instance_dict(parent) is child


def _edge(parent: object, child: object, *, attributes: bool) -> str:
    if is_a(parent, dict):
        return _dict_edge(parent, child, attributes=attributes)
    if is_any(parent, (list, tuple, deque)):
        return "[…]"
    if is_any(parent, (set, frozenset)):
        return "{…}"
    if is_a(parent, types.FunctionType):
        return _function_edge(parent, child)
    if is_a(parent, types.FrameType):
        return _named(list(parent.f_locals.items()), child)
    if is_a(parent, types.CellType):
        return ""
    if is_a(parent, types.MethodType):
        return ".__self__"
    if is_a(parent, functools._lru_cache_wrapper):  # noqa: SLF001 - its only name
        return "[…]"
    if is_a(parent, type):
        return _named(list(dict_of(parent).items()), child)
    return _named(list(attributes_of(parent).items()), child) or "→"


def _dict_edge(parent: dict[Any, Any], child: object, *, attributes: bool) -> str:
    for key, value in list(dict.items(parent)):
        if value is child or key is child:
            if type(key) is not str:
                return "[…]"
            if attributes and key.isidentifier():
                return f".{key}"
            named = len(parent) <= _NAMED_KEYS_IN_DICT and _NAME_LIKE_KEY.match(key)
            return f"['{key}']" if named else "[…]"
    return ""


def _function_edge(parent: types.FunctionType, child: object) -> str:
    if child is parent.__closure__:
        return ""
    if child is parent.__defaults__ or child is parent.__kwdefaults__:
        return ".__defaults__"
    return _named(list(parent.__dict__.items()), child) or "→"


def _variable(function: types.FunctionType, cell: object) -> str:
    names = function.__code__.co_freevars
    for name, held in zip(names, function.__closure__ or (), strict=False):
        if held is cell:
            return f".<{name}>"
    return ""


def _named(items: Iterable[tuple[str, object]], child: object) -> str:
    for name, value in items:
        if value is child and type(name) is str:
            return f".{name}" if name.isidentifier() else "[…]"
    return ""
