"""Which interpreter of the process this is, its collector, and its packages."""

from __future__ import annotations

import gc
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from leakguard._readers.interpreter import (
    installed_version,
    is_main_interpreter,
    read_collector,
)

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


def test_the_collectors_settings_are_read() -> None:
    thresholds = gc.get_threshold()
    gc.set_threshold(0, 5, 5)
    try:
        found = read_collector()
    finally:
        gc.set_threshold(*thresholds)
    assert found.enabled
    assert found.thresholds == (0, 5, 5)
    assert found.uncollectable == len(gc.garbage)


def test_a_package_is_installed_in_a_version_or_not() -> None:
    assert installed_version("pytest") == pytest.__version__
    assert installed_version("no such package") is None


def test_metadata_that_cannot_be_read_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metadata, "version", None)
    assert installed_version("pytest") is None
