"""Records as dicts, lists, texts, numbers and ``None``, in both directions.

Rules of this file: the records are the schema. Their fields, in their order, are
the keys; their types say what is valid. Unknown keys are ignored, so that a later
leakguard may add some, and an unknown name is ``other`` where there is such a choice;
a missing optional value is ``None``; anything else that does not fit is a
``LeakguardError`` that says where. NaN and infinity, which JSON does not have, are
never written.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from leakguard._core.records import Acquittal, LeakguardError, Report

if TYPE_CHECKING:
    from collections.abc import Callable

_R = TypeVar("_R")

SCHEMA = "leakguard.report/1"

#: Keys that are not named as the field they come from.
_KEYS: dict[tuple[type, str], str] = {(Acquittal, "owner_path"): "owner"}
#: Beyond this a whole number is no count, line or size of this world.
_LARGEST = 2**63
SHOWN_CHARACTERS = 40


class _Key(NamedTuple):
    """One key of an object: the field it fills, its type, and its default."""

    name: str
    field: str
    hint: object
    default: object


@cache
def _keys(record: type[Any]) -> tuple[_Key, ...]:
    hints = get_type_hints(record)
    return tuple(
        _Key(
            _KEYS.get((record, field.name), field.name),
            field.name,
            hints[field.name],
            _default(field.default, hints[field.name]),
        )
        for field in fields(record)
    )


def _default(declared: object, hint: object) -> object:
    if declared is MISSING and type(None) in get_args(hint):
        return None
    return declared


def encode(report: Report) -> dict[str, object]:
    """Return the document ``leakguard.report/1`` of a report."""
    return {"schema": SCHEMA, **encode_record(report)}


def encode_record(record: object) -> dict[str, object]:
    """Return the record as dicts, lists, texts, numbers and ``None``.

    A number that is not finite is ``None``, or zero where a number must stand.
    """
    return {
        key.name: _encode(getattr(record, key.field), key.hint)
        for key in _keys(cast("Any", type(record)))
    }


def _encode(value: object, hint: object) -> object:
    if isinstance(value, tuple):
        return [_encode(item, get_args(hint)[0]) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0 if hint is float else None
    if is_dataclass(value) and not isinstance(value, type):
        return encode_record(value)
    return value


def decode_record(record: type[_R], value: object, path: str = "") -> _R:
    """Return the record of this type that a parsed document describes.

    Raises:
        LeakguardError: with the place of what is wrong, ``suspects[0].site.line``.

    """
    if not isinstance(value, dict):
        raise _mismatch(path, "an object", value)
    values = {}
    for key in _keys(cast("Any", record)):
        inner = f"{path}.{key.name}".lstrip(".")
        if key.name in value:
            values[key.field] = _decode(key.hint, value[key.name], inner)
        elif key.default is MISSING:
            raise LeakguardError(f"{inner}: missing from the report")
        else:
            values[key.field] = key.default
    return cast("Callable[..., _R]", record)(**values)


def _decode(hint: object, value: object, path: str) -> object:
    if isinstance(hint, type) and is_dataclass(hint):
        return decode_record(hint, value, path)
    if isinstance(hint, type) and hint in _SCALARS:
        return _decode_scalar(hint, value, path)
    first, *_ = choices = get_args(hint)
    if get_origin(hint) is Literal:
        return _decode_choice(choices, value, path)
    if get_origin(hint) is tuple:
        return _decode_list(choices, value, path)
    return None if value is None else _decode(first, value, path)


def _decode_list(
    hints: tuple[object, ...], value: object, path: str
) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise _mismatch(path, "a list", value)
    if hints[-1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise LeakguardError(f"{path}: expected {len(hints)} items, found {len(value)}")
    return tuple(
        _decode(hint, item, f"{path}[{index}]")
        for index, (hint, item) in enumerate(zip(hints, value, strict=True))
    )


def _decode_choice(choices: tuple[object, ...], value: object, path: str) -> object:
    if value in choices:
        return value
    if "other" in choices and isinstance(value, str):
        return "other"
    known = ", ".join(map(str, choices))
    shown = ascii(value)[:SHOWN_CHARACTERS]
    raise LeakguardError(f"{path}: expected one of {known}, found {shown}")


def _decode_scalar(hint: type, value: object, path: str) -> object:
    is_valid, expected = _SCALARS[hint]
    if not is_valid(value):
        raise _mismatch(path, expected, value)
    return float(cast("float", value)) if hint is float else value


def _is_whole(value: object) -> bool:
    return type(value) is int and -_LARGEST <= value < _LARGEST


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


#: Type of a field -> what its value must be, and how to say so.
_SCALARS: dict[type, tuple[Callable[[object], bool], str]] = {
    str: (lambda value: isinstance(value, str), "text"),
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (_is_whole, "a whole number of at most 64 bits"),
    float: (_is_number, "a finite number"),
}

_FOUND = {
    type(None): "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "text",
    list: "a list",
    dict: "an object",
}


def _mismatch(path: str, expected: str, value: object) -> LeakguardError:
    kind = type(value)
    found = _FOUND.get(kind, kind.__name__)
    return LeakguardError(f"{path}: expected {expected}, found {found}")
