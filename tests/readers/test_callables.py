"""What is written in C has a name, and no user code runs to find it."""

from __future__ import annotations

import ctypes
import functools
import os
import zlib
from typing import NoReturn

import pytest

from leakguard._readers.callables import function_name

LIBC = ctypes.CDLL(None) if os.name == "posix" else None


class Odd:
    """A callable that answers nothing."""

    def __call__(self) -> None: ...

    def __getattribute__(self, name: str) -> NoReturn:
        raise AssertionError(name)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (len, "len"),
        (zlib.compress, "zlib.compress"),
        (os.putenv, "os.putenv"),
        ([].append, "list.append"),
        (list.append, "list.append"),
        (dict.fromkeys, "dict.fromkeys"),
        (str.__add__, "str.__add__"),
        (bytearray, "bytearray"),
        (Odd, f"{__name__}.Odd"),
        (Odd(), f"{__name__}.Odd"),
        (functools.partial(len), "functools.partial"),
        (ctypes.memset, "a function (ctypes)"),
    ],
    ids=[f"callable{number}" for number in range(12)],  # some tell an address
)
def test_a_callable_has_a_name(function: object, name: str) -> None:
    assert function_name(function) == name


@pytest.mark.skipif(LIBC is None, reason="no C library of this kind")
def test_a_function_of_a_library_is_named_as_there() -> None:
    assert LIBC is not None
    assert function_name(LIBC.malloc) == "malloc (ctypes)"
