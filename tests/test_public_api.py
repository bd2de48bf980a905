"""The public names and signatures, frozen in a file: an API change is a diff to read.

``LEAKGUARD_UPDATE_GOLDEN=1 pytest tests/test_public_api.py`` writes the file anew.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING

import leakguard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOLDEN = Path(__file__).parent / "golden" / "public_api.txt"
MARKS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def _text(annotation: object) -> str:
    """Return an annotation as it was written, whether it is a string or a type."""
    if isinstance(annotation, str):
        return annotation
    return getattr(annotation, "__qualname__", str(annotation))


def _parameter(parameter: inspect.Parameter) -> str:
    text = MARKS.get(parameter.kind, "") + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_text(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        text += f" = {parameter.default!r}"
    return text


def _signature(function: Callable[..., object]) -> str:
    signature = inspect.signature(function)
    parts: list[str] = []
    for parameter in signature.parameters.values():
        first_by_name = parameter.kind is parameter.KEYWORD_ONLY and not any(
            part.startswith("*") for part in parts
        )
        parts += ["*"] * first_by_name + [_parameter(parameter)]
    result = signature.return_annotation
    arrow = "" if result is signature.empty else f" -> {_text(result)}"
    return f"({', '.join(parts)}){arrow}"


def _member(name: str, value: object) -> str | None:
    if isinstance(value, property) and value.fget is not None:
        returns = _text(inspect.get_annotations(value.fget).get("return", "?"))
        return f"{name}: {returns}  (read only)"
    if isinstance(value, staticmethod | classmethod):
        return f"{type(value).__name__} {name}{_signature(value.__func__)}"
    return f"{name}{_signature(value)}" if inspect.isfunction(value) else None


def _fields(cls: type) -> Iterator[str]:
    known = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    given = {field.name: field.default for field in known}
    for name, kind in inspect.get_annotations(cls).items():
        default = given.get(name, dataclasses.MISSING)
        ending = "" if default is dataclasses.MISSING else f" = {default!r}"
        yield f"{name}: {_text(kind)}{ending}"


def _members(cls: type) -> Iterator[str]:
    hidden = set(inspect.get_annotations(cls))
    if dataclasses.is_dataclass(cls):
        hidden.add("__init__")
    for name, value in sorted(vars(cls).items()):
        member = None if name in hidden else _member(name, value)
        if member is not None:
            yield member


def _class(cls: type) -> str:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    head = f"class {cls.__name__}" + (f"({bases})" if bases else "")
    lines = (*_fields(cls), *_members(cls))
    shown = [text for text in lines if text[0] != "_" or text.startswith("__init__")]
    return "\n    ".join([head, *shown])


def _describe(name: str) -> str:
    value = getattr(leakguard, name)
    if isinstance(value, type):
        return _class(value)
    if callable(value):
        return f"def {name}{_signature(value)}"
    return f"{name}: {type(value).__name__}"


def test_the_public_api_is_the_frozen_one() -> None:
    found = "\n\n".join(_describe(name) for name in sorted(leakguard.__all__)) + "\n"
    if os.environ.get("LEAKGUARD_UPDATE_GOLDEN"):
        GOLDEN.write_text(found, "utf-8")
    assert found == GOLDEN.read_text("utf-8")


def test_each_public_name_is_documented_and_listed() -> None:
    assert set(leakguard.__all__) <= set(dir(leakguard))
    for name in set(leakguard.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(leakguard, name)), name
