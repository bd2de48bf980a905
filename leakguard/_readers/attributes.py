"""Read types and attributes past whatever code they bring along.

Rules of this file: nothing of the user's runs. No ``isinstance`` (it asks
``__class__``), no attribute of a class (its metaclass may answer), no comparison or
hash of a class, no property called ``__dict__``, no lazy module's loader.
"""

from __future__ import annotations

import collections
import functools
import gc
import sys
import types
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_T = TypeVar("_T")

mro_of: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
dict_of: Callable[[type], Mapping[str, Any]] = type.__dict__["__dict__"].__get__
_module_dict: Callable[[Any], dict[str, Any]] = dict_of(types.ModuleType)[
    "__dict__"
].__get__

#: How CPython documents the ``__dict__`` of a class made by a ``class`` statement; a C
#: type's own (wrapt's lazy proxies have one) may compute it.
_PLAIN_DICT_DOC = "dictionary for instance variables"
#: C types whose ``__dict__`` is just that.
_PLAIN_DICT_TYPES = (
    types.FunctionType,
    BaseException,
    functools.partial,
    collections.OrderedDict,
)


def is_a(item: object, kind: type[_T]) -> TypeGuard[_T]:
    """Return whether an object's real type is ``kind`` or below it."""
    real = type(item)
    return real is kind or any(base is kind for base in mro_of(real))


def is_any(item: object, kinds: tuple[type, ...]) -> bool:
    """Return whether an object's real type is one of ``kinds`` or below one."""
    return any(base is kind for base in mro_of(type(item)) for kind in kinds)


def modules_by_dict() -> dict[int, str]:
    """Return the names of the loaded modules by the ``id`` of their dict."""
    return {id(table): name for name, table in module_tables()}


def module_tables() -> list[tuple[str, dict[str, Any]]]:
    """Return the loaded modules' names and dicts."""
    return [
        (name, _module_dict(module))
        for name, module in list(sys.modules.items())
        if is_a(module, types.ModuleType)
    ]


def referents_of(item: object) -> list[object]:
    """Return what an object refers to, of a module only its dict.

    CPython 3.12 shows, among a C module's referents, the dead objects of its free
    lists (``_asyncio`` keeps iterators there). Let go of, they would be there twice,
    and the next collection would never end.
    """
    if is_a(item, types.ModuleType):
        return [_module_dict(item)]
    return gc.get_referents(item)


def module_variables(name: str | None) -> dict[str, Any]:
    """Return a loaded module's dict, or an empty one."""
    module = sys.modules.get(name or "")
    return _module_dict(module) if is_a(module, types.ModuleType) else {}


def module_file(name: str | None) -> str | None:
    """Return a loaded module's ``__file__`` if it is a text."""
    file = module_variables(name).get("__file__")
    return file if type(file) is str else None


def instance_dict(instance: object) -> dict[Any, Any] | None:
    """Return the plain ``__dict__`` of an instance, or ``None``."""
    if is_a(instance, types.ModuleType):
        return _module_dict(instance)
    for base in mro_of(type(instance)):
        found = dict_of(base).get("__dict__")
        if found is None:
            continue
        if type(found) is not types.GetSetDescriptorType:
            return None
        plain = (found.__doc__ or "").startswith(_PLAIN_DICT_DOC)
        if not plain and not any(base is kind for kind in _PLAIN_DICT_TYPES):
            return None
        value = found.__get__(instance)
        return value if type(value) is dict else None
    return None


def attributes_of(instance: object) -> dict[str, object]:
    """Return instance and class attributes by name, slots included."""
    found: dict[Any, object] = {}
    for base in reversed(mro_of(type(instance))[:-1]):
        for name, value in list(dict_of(base).items()):
            slot = type(value) is types.MemberDescriptorType
            found[name] = _slot_value(value, instance) if slot else value
    found.update(instance_dict(instance) or {})
    return {name: value for name, value in found.items() if type(name) is str}


def _slot_value(member: types.MemberDescriptorType, instance: object) -> object | None:
    try:
        value: object = member.__get__(instance, type(instance))
    except (AttributeError, TypeError):
        return None
    return value
