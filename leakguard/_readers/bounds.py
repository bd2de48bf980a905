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
import sys
from collections import deque
from typing import TYPE_CHECKING

from leakguard._core.evidence import Bound
from leakguard._readers.paths import attributes_of, is_a
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
_REMOVALS = frozenset(
    {"pop", "popitem", "popleft", "clear", "remove", "discard", "flush", "evict"}
)


def bound_of(chain: Sequence[object], length: int) -> Bound | None:
    """Return what bounds the last object of a path, or ``None``.

    ``length`` is its present number of entries: a stated size that it has already
    outgrown is none of its bounds.
    """
    holder = chain[-1]
    owners = list(_owners(chain))
    found = _enforced(holder)
    if found is None:
        found = _stated(owners, length)
    if found is None:
        found = _guarded(owners, holder, length)
    return found


def is_unbounded_lru(holder: object) -> bool:
    """Return whether a holder is an ``lru_cache(maxsize=None)``."""
    return (
        is_a(holder, functools._lru_cache_wrapper)  # noqa: SLF001 - its only name
        and holder.cache_info().maxsize is None
    )


def _enforced(holder: object) -> Bound | None:
    if is_a(holder, functools._lru_cache_wrapper):  # noqa: SLF001 - its only name
        limit = holder.cache_info().maxsize
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
        plain = type(item) in (dict, list, set, tuple, deque)
        if plain:
            continue
        if is_a(item, type) or given == 2:
            return
        yield item
        given += 1


def _stated(owners: Sequence[object], length: int) -> Bound | None:
    for owner in owners:
        aged: Bound | None = None
        for name, value in attributes_of(owner).items():
            if type(value) not in (int, float) or not value > 0:  # type: ignore[operator]
                continue
            if _SIZE_NAME.match(name) and _holds(value, length):  # type: ignore[arg-type]
                return Bound(f"{type(owner).__name__}.{name}", int(value))  # type: ignore[call-overload]
            if _AGE_NAME.match(name):
                what = f"{type(owner).__name__}.{name}"
                aged = Bound(what, age_seconds=float(value))  # type: ignore[arg-type]
        if aged:
            return aged
    return None


def _holds(limit: float, length: int) -> bool:
    """Return whether a stated limit can still be one.

    A container that has just grown to exactly its limit drags the limit along.
    """
    within = length < limit or limit < length <= limit * _LATE_PRUNING
    return within and limit <= _MAX_ENTRIES


def _guarded(owners: Sequence[object], holder: object, length: int) -> Bound | None:
    """Look for ``len(x) > N`` beside a removal in the modules of the owners."""
    for owner in owners or [holder]:
        names = _names_of(owner, holder)
        module = _module_of(owner)
        scope = dict(attributes_of(owner)) if owner is not holder else {}
        for where, limit in _guards(module, names, scope):
            if _holds(limit, length):
                return Bound(where, limit)
    return None


def _names_of(owner: object, holder: object) -> set[str]:
    if owner is holder:
        return {"self"}
    return {name for name, value in attributes_of(owner).items() if value is holder}


def _module_of(owner: object) -> str | None:
    name = type.__getattribute__(type(owner), "__module__")
    return name if type(name) is str else None


def module_guard(module: str, variable: str, length: int) -> Bound | None:
    """Return the bound that a module's code keeps on its own global container."""
    for where, limit in _guards(module, {variable}, {}):
        if _holds(limit, length):
            return Bound(where, limit)
    return None


def _guards(
    module: str | None, names: set[str], scope: dict[str, object]
) -> Iterator[tuple[str, int]]:
    found = sys.modules.get(module or "")
    file = getattr(found, "__file__", None)
    tree = parse(file) if type(file) is str else None
    if tree is None:
        return
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        compared = [n for n in ast.walk(function) if isinstance(n, ast.Compare)]
        limits = [limit for n in compared for limit in _limits(n, names)]
        if limits and _removes(function):
            for expression in limits:
                value = _number(expression, scope, vars(found))
                if value is not None:
                    yield f"the check in {function.name}()", value


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
