"""The bound of a holder: what will stop its growth, read from the holder itself.

Three kinds of evidence, strongest first: a bound that the type enforces
(``lru_cache(maxsize=…)``, ``deque(maxlen=…)``), a size attribute on the container or
on the object that owns it, and code that compares the container's length with a
number and removes entries. Values are read past descriptors; no user code runs.
"""

from __future__ import annotations

import ast
import functools
import re
import types
from collections import deque
from typing import TYPE_CHECKING

from leakguard._core.evidence import Bound
from leakguard._readers.attributes import (
    attributes_of,
    dict_of,
    is_a,
    is_any,
    module_file,
    module_variables,
    modules_by_dict,
    mro_of,
)
from leakguard._readers.heap import name_of_type
from leakguard._readers.paths import describe
from leakguard._readers.source import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Attribute names by which collections state their bound, private forms included.
_SIZE_NAME = re.compile(
    r"_*(?:[A-Za-z]\w*__)?_*(?:"
    r"(?:max|maximum)_?(?:size|len|length|entries|items|count|keys|elements|objects"
    r"|cache_?size|cached?|capacity|history|overflow|connections|n|num|value)?"
    r"|capacity|(?:cache|buffer|pool|history|queue|ring|table)_?(?:size|limit|max|len)"
    r"|(?:size|length|entry|item|cache|count)_?(?:limit|bound|max)|limit|bound|keep"
    r")\Z",
    re.IGNORECASE,
)
#: Attribute names by which collections state how long entries live, in seconds;
#: a ``timeout`` more often bounds an operation.
_AGE_NAME = re.compile(
    r"_*(?:[A-Za-z]\w*__)?_*(?:ttl|max_?age|time_?to_?live|expire_?after|lifetime)"
    r"(?:_?(?:s|sec|secs|seconds))?\Z",
    re.IGNORECASE,
)
#: Bounds beyond this are as good as none: 10 million entries of 50 bytes are 512 MB.
_MAX_ENTRIES = 10_000_000
#: Some caches prune late (SQLAlchemy's at 1.5 times its capacity).
_LATE_PRUNING = 1.6
_OWNERS = 2
#: Modules read for guards: the holder's own, its base classes', its owner's.
_MODULES = 6
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PLAIN = (dict, list, set, tuple, deque)
_LRU = functools._lru_cache_wrapper  # noqa: SLF001 - the type has no public name
_REMOVALS = frozenset(
    {"pop", "popitem", "popleft", "clear", "remove", "discard", "flush", "evict"}
)


def bound_of(chain: Sequence[object], length: int) -> Bound | None:
    """Return what bounds the last object of a path, or ``None``.

    ``length`` is its present number of entries: a stated size that it has already
    outgrown is none of its bounds.
    """
    owners = list(_owners(chain))
    return (
        _enforced(chain[-1])
        or _stated(owners, length)
        or _guarded(chain, owners, length)
    )


def is_unbounded_lru(holder: object) -> bool:
    """Return whether a holder is an ``lru_cache(maxsize=None)``."""
    return is_a(holder, _LRU) and _LRU.cache_info(holder).maxsize is None


def _enforced(holder: object) -> Bound | None:
    if is_a(holder, _LRU):
        limit = _LRU.cache_info(holder).maxsize
        return None if limit is None else Bound("lru_cache maxsize", limit)
    if is_a(holder, deque):
        limit = deque.maxlen.__get__(holder)
        return None if limit is None else Bound("deque maxlen", limit)
    return None


def _owners(chain: Sequence[object]) -> Iterator[object]:
    """Yield the holder, if it can have attributes, and the objects around it.

    Two real objects up at most: a cache's ``_data`` belongs to the cache, and a
    segment of it to the cache too, but an application object above bounds nothing.
    """
    given = 0
    for item in reversed(chain):
        if any(type(item) is plain for plain in _PLAIN):
            continue
        if is_any(item, (type, types.FunctionType)) or given == _OWNERS:
            return
        yield item
        given += 1


def _stated(owners: Sequence[object], length: int) -> Bound | None:
    for owner in owners:
        kind = name_of_type(type(owner)).rsplit(".", 1)[-1]
        numbers = dict(_positive_numbers(owner))
        for name, limit in numbers.items():
            if _SIZE_NAME.match(name) and _holds(limit, length):
                return Bound(f"{kind}.{name}", int(limit))
        for name, age in numbers.items():
            if _AGE_NAME.match(name):
                return Bound(f"{kind}.{name}", age_seconds=age)
    return None


def _positive_numbers(owner: object) -> Iterator[tuple[str, float]]:
    for name, value in attributes_of(owner).items():
        # exactly these types: a bool is no size, and a subclass may compare itself
        if (type(value) is int or type(value) is float) and value > 0:
            yield name, float(value)


def _holds(limit: float, length: int, *, is_fixed: bool = False) -> bool:
    """Return whether a stated limit can still be one.

    A container that has just grown to exactly its limit drags the limit along, unless
    the limit ``is_fixed``: then it is just full.
    """
    within = length <= limit * _LATE_PRUNING and (is_fixed or length != limit)
    return within and limit <= _MAX_ENTRIES


def _guarded(
    chain: Sequence[object], owners: Sequence[object], length: int
) -> Bound | None:
    """Look for ``len(x) > N`` beside a removal in the code around the holder."""
    scope: dict[str, object] = {}
    for owner in owners:
        scope.update(attributes_of(owner))
    names = {_name_in(chain)} | (
        {"self"} if any(owner is chain[-1] for owner in owners) else set()
    )
    for module in _modules_around(chain):
        for where, limit, is_fixed in _guards(module, names, scope):
            if _holds(limit, length, is_fixed=is_fixed):
                return Bound(where, limit)
    return None


def _name_in(chain: Sequence[object]) -> str:
    """Return the holder's own name: the last one on its path."""
    path, _ = describe(chain)
    return path.rsplit(".", 1)[-1].strip("<>[]\u2026'")


def _modules_around(chain: Sequence[object]) -> dict[str, None]:
    """Return the modules whose code may bound the holder, nearest first."""
    roots = modules_by_dict()
    found: dict[str, None] = {}
    for item in reversed(chain):
        if id(item) in roots:
            found[roots[id(item)]] = None
        elif is_a(item, types.FunctionType):
            found[str(item.__module__)] = None
        else:
            kinds = mro_of(item if is_a(item, type) else type(item))
            modules = (dict_of(kind).get("__module__") for kind in kinds)
            found.update((name, None) for name in modules if type(name) is str)
        if len(found) >= _MODULES:
            break
    found.pop("builtins", None)
    return found


def _guards(
    module: str, names: set[str], scope: dict[str, object]
) -> Iterator[tuple[str, int, bool]]:
    file = module_file(module)
    tree = parse(file) if file else None
    if tree is None:
        return
    functions = [node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)]
    for function in reversed(functions):  # the inner ones first: they name the place
        compared = [n for n in ast.walk(function) if isinstance(n, ast.Compare)]
        limits = [limit for n in compared for limit in _limits(n, names)]
        if limits and _removes(function):
            for expression in limits:
                value = _number(expression, scope, module_variables(module))
                if value is not None:
                    is_fixed = not isinstance(expression, ast.Attribute)
                    yield f"the check in {function.name}()", value, is_fixed


def _limits(compare: ast.Compare, names: set[str]) -> list[ast.expr]:
    sides = [compare.left, *compare.comparators]
    measured = [side for side in sides if _is_len_of(side, names)]
    if len(sides) != 2 or len(measured) != 1:
        return []
    return [side for side in sides if side is not measured[0]]


def _is_len_of(node: ast.expr, names: set[str]) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return False
    if node.func.id != "len" or len(node.args) != 1:
        return False
    return _last_name(node.args[0]) in names


def _last_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def _removes(function: ast.AST) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Delete):
            return True
        if isinstance(node, ast.Call) and _last_name(node.func) in _REMOVALS:
            return True
    return False


def _number(
    node: ast.expr, attributes: dict[str, object], module: dict[str, object]
) -> int | None:
    value: object = None
    if isinstance(node, ast.Constant):
        value = node.value
    elif isinstance(node, ast.Name):
        value = module.get(node.id)
    elif isinstance(node, ast.Attribute):
        value = attributes.get(node.attr, module.get(node.attr))
    return value if type(value) is int and value > 0 else None
