"""Small programs for the readers to look at."""

from __future__ import annotations

import sys
from textwrap import dedent
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from leakguard._readers.search import climb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Program = Callable[..., ModuleType]
    Chain = Callable[[str], list[object]]


def _never() -> bool:
    return False


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Return a function that makes an imported module, file and all, of its source."""

    def make(source: str, name: str = "shop") -> ModuleType:
        file = tmp_path / f"{name}.py"
        text = dedent(source)
        file.write_text(text, encoding="utf-8")
        module = ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(text, str(file), "exec"), vars(module))
        return module

    return make


@pytest.fixture
def chain_to() -> Chain:
    """Return a function that climbs from an expression's value up to a root.

    The value is never a local variable of a test: its frame would hold it, too.
    """

    def chain(expression: str, module: str = "shop") -> list[object]:
        found = eval(expression, vars(sys.modules[module]))
        return climb(found, hidden=set(), out_of_time=_never)

    return chain
