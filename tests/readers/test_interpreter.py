"""Which interpreter of the process this is."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from leakguard._readers.interpreter import is_main_interpreter

NAME = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"


def test_this_is_the_main_one() -> None:
    assert is_main_interpreter()


@pytest.mark.parametrize("current", [3, (3, 1)])
def test_another_is_not(monkeypatch: pytest.MonkeyPatch, current: object) -> None:
    main = (0, 1) if isinstance(current, tuple) else 0
    fake = SimpleNamespace(get_current=lambda: current, get_main=lambda: main)
    monkeypatch.setitem(sys.modules, NAME, fake)
    assert not is_main_interpreter()


def test_where_nobody_can_tell_it_is_the_main_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, NAME, None)
    assert is_main_interpreter()
