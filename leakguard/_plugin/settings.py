"""What is asked for: by option, ini setting, or the project's ``tests`` table.

Rules of this file: the command line goes before the ini file, that before
``leakguard.toml`` or ``pyproject.toml``; a value that makes no sense ends the session
with one sentence.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from leakguard._core.records import LeakguardError
from leakguard._core.units import parse_bytes
from leakguard._readers.config import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Growth per call that a marked test may have when nothing else is said: a list's
#: slot and what a 32-byte object costs, but not what a 64-byte one does.
DEFAULT_LIMIT = "48 B"
_KEYS = ("limit", "seconds", "dir", "baseline")
_TABLE = pytest.StashKey["Mapping[str, Any]"]()


def limit_of_all(config: pytest.Config) -> int | None:
    """Return the limit that holds for tests without a marker, if any."""
    given = _given(config, "limit")
    return None if given is None else size(given, "leakguard-limit")


def seconds(config: pytest.Config) -> float:
    """Return how long a fast test is called again."""
    given = _given(config, "seconds")
    try:
        found = 1.0 if given is None else float(given)
    except (TypeError, ValueError):
        found = 0.0
    if not 0 < found < float("inf"):
        refuse(f"leakguard-seconds is a number above 0, not {given!r}")
    return found


def directory(config: pytest.Config) -> Path | None:
    """Return where the reports go, if anywhere."""
    return _path(config, "dir")


def baseline(config: pytest.Config) -> Path | None:
    """Return the file of known growth, if there is to be one."""
    found = _path(config, "baseline")
    if found is None and config.getoption("--leakguard-update-baseline"):
        refuse("--leakguard-update-baseline needs --leakguard-baseline FILE")
    return found


def size(given: object, where: str) -> int:
    """Return a size in bytes; where it is none, end the session with one sentence."""
    try:
        return parse_bytes(given)  # type: ignore[arg-type]
    except LeakguardError as error:
        refuse(f"{where}: {error}")


def refuse(sentence: str) -> NoReturn:
    """End the session: what was asked for makes no sense."""
    raise pytest.UsageError(f"leakguard: {sentence}")


def _path(config: pytest.Config, name: str) -> Path | None:
    given = _given(config, name)
    if given is None:
        return None
    if config.getoption(f"--leakguard-{name}") is not None:
        return Path(config.invocation_params.dir, str(given))
    return Path(config.rootpath, str(given))


def _given(config: pytest.Config, name: str) -> Any:  # noqa: ANN401 - text or number
    found = config.getoption(f"--leakguard-{name}")
    if found is None:
        found = config.getini(f"leakguard_{name}") or None
    return _table(config).get(name) if found is None else found


def _table(config: pytest.Config) -> Mapping[str, Any]:
    """Return the project's table about tests, read once a session."""
    found = config.stash.get(_TABLE, None)
    if found is None:
        found = config.stash[_TABLE] = _read(config.rootpath)
    return found


def _read(directory: Path) -> Mapping[str, Any]:
    try:
        path, table = read_table(str(directory)) or ("", {})
    except LeakguardError as error:
        refuse(str(error))
    found: Mapping[str, Any] = table.get("tests", {})
    if not isinstance(found, dict):
        refuse(f"{path}: its tests are no table")
    for key in found:
        if key not in _KEYS:
            known = ", ".join(_KEYS)
            refuse(f"{path}: its tests table has no {key!r}; it has {known}")
    return found
