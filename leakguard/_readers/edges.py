"""The name of one reference: how a developer would write it.

Rules of this file: no user code runs, attributes are read past descriptors, keys are
never formatted by ``repr``. A key is shown only where the program itself may have
written it: a name-like ``str`` in a dict that is no larger than a table, and one that
stands in the code of the application's functions, or that the interpreter keeps once
for all, as it does with the names and the plainest constants of code. What comes in by
a socket, a file or a database is neither.
"""

from __future__ import annotations

import functools
import re
import sys
import types
from _thread import _local
from collections import deque
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

from leakguard._readers.attributes import (
    attributes_of,
    dict_of,
    instance_dict,
    is_a,
)
from leakguard._readers.roots import SUSPENDED, coroutine_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from leakguard._readers.roots import Roots

_NAME_LIKE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,30}\Z")
_NAMED_KEYS_IN_DICT = 64
#: CPython 3.12 never lets go of a text that it was asked to keep once, so asking
#: about foreign texts is bounded there.
_questions_left = 256
#: The parts of a context, which have no public names.
_CONTEXT_PARTS = (
    "hamt",
    "hamt_array_node",
    "hamt_bitmap_node",
    "hamt_collision_node",
)
_HELD_BY_EXCEPTIONS = ("__traceback__", "__context__", "__cause__", "args")


def edge(chain: Sequence[object], index: int, roots: Roots) -> str:
    """Return how the object at ``index`` hangs on the one before it.

    It is empty where the two are one thing to a developer, such as an instance and
    its ``__dict__``, and an arrow where there is no way to write it.
    """
    parent, child = chain[index - 1], chain[index]
    if _is_hidden(chain, index):
        return ""
    attributes = _is_attribute_table(chain, index - 1, roots.modules)
    holder = chain[index - 2] if index > 1 else None
    if is_a(parent, dict):
        return _dict_edge(parent, child, roots, attributes=attributes)
    if is_a(holder, types.FunctionType) and parent is holder.__closure__:
        return _variable(holder, child)
    if _is_context_part(parent):
        return _context_edge(chain[:index], child)
    for kind, name in _EDGES:
        if is_a(parent, kind):
            return name(parent, child)
    return _named(attributes_of(parent).items(), child) or "→"


def _is_hidden(chain: Sequence[object], index: int) -> bool:
    """Return whether a link is part of how CPython keeps the one before it."""
    parent, child = chain[index - 1], chain[index]
    if is_a(parent, types.FunctionType) and child is parent.__closure__:
        return True
    if is_a(parent, types.CellType) or _is_context_part(child):
        return True
    if coroutine_of(parent) is child:
        return True
    return _is_attribute_dict(child, parent) or _is_local_dict(chain, index)


def _is_attribute_table(
    chain: Sequence[object], index: int, modules: dict[int, str]
) -> bool:
    if id(chain[index]) in modules:
        return True
    if index == 0:
        return False
    return _is_attribute_dict(chain[index], chain[index - 1]) or (
        index > 1
        and _is_local_dict(chain, index)
        and not is_a(chain[index - 1], _local)
    )


def _is_attribute_dict(child: object, parent: object) -> bool:
    if type(child) is not dict:
        return False
    if is_a(parent, type):
        return "__module__" in child
    return instance_dict(parent) is child


def _is_local_dict(chain: Sequence[object], index: int) -> bool:
    """Return whether it is a thread-local's dict of dicts, or a thread's in there."""
    if type(chain[index]) is not dict:
        return False
    return is_a(chain[index - 1], _local) or (
        index > 1 and type(chain[index - 1]) is dict and is_a(chain[index - 2], _local)
    )


def _is_context_part(item: object) -> bool:
    return is_a(item, Context) or type(item).__name__ in _CONTEXT_PARTS


def _context_edge(above: Sequence[object], child: object) -> str:
    for item in reversed(above):
        if is_a(item, Context):
            return _named(((var.name, value) for var, value in item.items()), child)
    return "→"


def _dict_edge(
    parent: dict[Any, Any], child: object, roots: Roots, *, attributes: bool
) -> str:
    for key, value in list(dict.items(parent)):
        if value is child or key is child:
            if type(key) is not str:
                return "[…]"
            if attributes and key.isidentifier():
                return f".{key}"
            return f"['{key}']" if is_shown(key, len(parent), roots) else "[…]"
    return ""


def is_shown(key: str, length: int, roots: Roots) -> bool:
    """Return whether a key of a dict of this length may stand in a report."""
    if length > _NAMED_KEYS_IN_DICT or not _NAME_LIKE_KEY.match(key):
        return False
    return key in roots.constants or _is_kept(key)


def _is_kept(text: str) -> bool:
    """Return whether the interpreter keeps this very text once for all."""
    asked = getattr(sys, "_is_interned", None)
    if asked is not None:
        return bool(asked(text))
    global _questions_left  # noqa: PLW0603 - what it bounds is the interpreter's
    twin = text.encode().decode()
    if sys.version_info >= (3, 12):
        if _questions_left <= 0:
            return False
        _questions_left -= 1
    return sys.intern(twin) is text


def _function_edge(parent: types.FunctionType, child: object) -> str:
    if child is parent.__defaults__ or child is parent.__kwdefaults__:
        return ".__defaults__"
    return _named(parent.__dict__.items(), child) or "→"


def _frame_edge(parent: Any, child: object) -> str:  # noqa: ANN401 - any suspended code
    frame = parent
    for kind, prefix, _ in SUSPENDED:
        if is_a(parent, kind):
            frame = getattr(parent, f"{prefix}_frame")
    if frame is child:
        return ""
    variables = {} if frame is None else frame.f_locals
    return _named(variables.items(), child) or "→"


def _exception_edge(parent: BaseException, child: object) -> str:
    for name in _HELD_BY_EXCEPTIONS:
        if dict_of(BaseException)[name].__get__(parent) is child:
            return f".{name}"
    return _named(attributes_of(parent).items(), child) or "→"


def _variable(function: types.FunctionType, cell: object) -> str:
    names = function.__code__.co_freevars
    for name, held in zip(names, function.__closure__ or (), strict=False):
        if held is cell:
            return f".<{name}>"
    return ""


def _named(items: Iterable[tuple[Any, object]], child: object) -> str:
    for name, value in list(items):
        if value is child and type(name) is str:
            return f".{name}" if name.isidentifier() else "[…]"
    return ""


def _always(text: str) -> Callable[[Any, object], str]:
    return lambda _parent, _child: text


#: Kind of the holder -> how its reference is written; the first that fits.
_EDGES: tuple[tuple[type[Any], Callable[[Any, object], str]], ...] = (
    *((kind, _always("[…]")) for kind in (list, tuple, deque)),
    *((kind, _always("{…}")) for kind in (set, frozenset)),
    (functools._lru_cache_wrapper, _always("[…]")),  # noqa: SLF001 - its only name
    (types.MethodType, _always(".__self__")),
    (ContextVar, _always(".get()")),
    (types.FunctionType, _function_edge),
    (types.FrameType, _frame_edge),
    *((kind, _frame_edge) for kind, _, _ in SUSPENDED),
    (BaseException, _exception_edge),
    (type, lambda kind, child: _named(dict_of(kind).items(), child)),
)
