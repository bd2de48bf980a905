"""What a callable is called, past whatever code it brings along; no user code runs."""

from __future__ import annotations

import types

from leakguard._readers.attributes import attributes_of, is_a, mro_of
from leakguard._readers.heap import name_of_type, type_name

_DESCRIPTORS = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)
#: How the module behind ``os`` is called on each system.
_SYSTEM = frozenset({"posix", "nt"})


def function_name(function: object) -> str:
    """Return the name of something written in C: ``"zlib.compress"``, ``"str.join"``.

    Of a class it is the class's, of a function found by ``ctypes`` that in its
    library, and of any other callable the name of its type.
    """
    if is_a(function, types.BuiltinFunctionType):
        return _builtin_name(function)
    if any(type(function) is kind for kind in _DESCRIPTORS):
        return f"{name_of_type(function.__objclass__)}.{function.__name__}"  # type: ignore[attr-defined]
    if is_a(function, type):
        return name_of_type(function)
    if any(name_of_type(base) == "_ctypes.CFuncPtr" for base in mro_of(type(function))):
        name = attributes_of(function).get("__name__")
        return f"{name if type(name) is str else 'a function'} (ctypes)"
    return type_name(function)


def _builtin_name(function: types.BuiltinFunctionType) -> str:
    owner, name = function.__self__, function.__name__
    if owner is None or is_a(owner, types.ModuleType):
        module = function.__module__ if type(function.__module__) is str else ""
        if module in _SYSTEM:
            module = "os"
        return name if module in {"", "builtins"} else f"{module}.{name}"
    kind = owner if is_a(owner, type) else type(owner)
    return f"{name_of_type(kind)}.{name}"
