"""Which functions a module has, and which of them can be called again and again."""

from __future__ import annotations

import ast
import difflib
import inspect
import types
from typing import TYPE_CHECKING, Any

from leakguard._core.records import LeakguardError
from leakguard._readers.source import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

#: As many functions are listed when a name is missing or wrong.
SHOWN = 8
_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def defined_in(file: str) -> tuple[str, ...]:
    """Return the public functions at the top level of a source file, in order."""
    tree = parse(file)
    return tuple(
        node.name
        for node in (tree.body if tree else ())
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and not node.name.startswith("_")
    )


def find(module: ModuleType, dotted: str, where: str) -> Callable[..., object]:
    """Return the callable at a dotted path in a module, once it can be called.

    Raises:
        LeakguardError: there is none, or it cannot be called with no argument or
            with the number of the call.

    """
    holder: object = None
    found: Any = module
    seen = where
    for name in dotted.split("."):
        holder = found
        try:
            found = getattr(found, name)
        except AttributeError:
            raise LeakguardError(_missing(module, holder, name, seen)) from None
        except Exception as error:  # a property or a module's __getattr__
            kind = type(error).__name__
            raise LeakguardError(f"{seen}.{name} raised {kind}: {error}") from error
        seen = f"{where}:{name}" if seen == where else f"{seen}.{name}"
    _check_callable(found, seen)
    _check_method(found, holder, seen)
    _check_kind(found, seen)
    _check_arguments(found, seen)
    return found  # type: ignore[no-any-return]


def _missing(module: ModuleType, holder: object, name: str, seen: str) -> str:
    if holder is module:
        named = [key for key, value in vars(module).items() if _is_own(value, module)]
    else:
        named = [key for key in dir(holder) if callable(getattr(holder, key, None))]
    named = [key for key in named if not key.startswith("_")]
    near = difflib.get_close_matches(name, named, n=1)
    if near:
        return f"{seen} has no {name!r}: did you mean {near[0]!r}?"
    listed = ", ".join(named[:SHOWN]) + (", …" if len(named) > SHOWN else "")
    return f"{seen} has no {name!r}" + (f": it has {listed}" if listed else "")


def _is_own(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _check_callable(found: object, seen: str) -> None:
    if not callable(found):
        raise LeakguardError(
            f"{seen} is not a function: it is of type {type(found).__name__}"
        )


def _check_method(found: object, holder: object, seen: str) -> None:
    """Refuse a plain method of a class: its ``self`` would be the call's number."""
    if isinstance(holder, type) and isinstance(found, types.FunctionType):
        raw = inspect.getattr_static(holder, found.__name__, None)
        if not isinstance(raw, staticmethod):
            raise LeakguardError(
                f"{seen} is a method and needs an object: name a function that makes "
                "one and calls it"
            )


def _check_kind(found: Callable[..., object], seen: str) -> None:
    generates = inspect.isgeneratorfunction(found)
    if generates or inspect.isasyncgenfunction(found):
        kind = "a generator" if generates else "an async generator"
        raise LeakguardError(
            f"{seen} is {kind}: calling it runs none of its lines, so name a function "
            "that iterates over it"
        )


def _check_arguments(found: Callable[..., object], seen: str) -> None:
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not tell
        return
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is inspect.Parameter.empty
        and parameter.kind
        not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    by_name = [
        parameter.name
        for parameter in parameters
        if parameter.name in needed and parameter.kind not in _POSITIONAL
    ]
    if len(needed) > 1 or by_name:
        plural = "argument" if len(needed) == 1 else "arguments"
        raise LeakguardError(
            f"{seen} needs the {plural} {', '.join(needed)}: it is called with none, "
            "or with the number of the call"
        )
