"""The settings of a project: ``leakguard.toml``, or its table in ``pyproject.toml``.

Rules of this file: the nearest file from the working directory upward counts, and no
other; a file that makes no sense is one clear sentence. Read when asked, never at
import.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

from leakguard._core.records import LeakguardError
from leakguard._core.suppressions import Suppression, suppressions_of

FILE, PROJECT = "leakguard.toml", "pyproject.toml"
#: A larger file is something else.
_MOST_BYTES = 1 << 20
#: ``tests`` is the pytest plugin's own table.
_KEYS = ("suppress", "tests")


@dataclass(frozen=True, slots=True)
class Config:
    """What a project asks for. ``file`` is where that stands, if anywhere.

    ``trouble`` says why there is none, for who reads it quietly.
    """

    file: str | None = None
    suppressions: tuple[Suppression, ...] = ()
    trouble: str | None = None


#: Where there are no settings.
NO_CONFIG = Config()


def read_config(directory: str | None = None) -> Config:
    """Return the settings in force in a directory (default: the working directory).

    In each directory ``leakguard.toml`` comes before ``[tool.leakguard]`` in
    ``pyproject.toml``; the first one found upward counts.

    Raises:
        LeakguardError: the file cannot be read or makes no sense; one sentence.

    Cost: two system calls for each directory upward, and 1 ms for the file.
    """
    for here in _upward(directory):
        found = read_table(here)
        if found is not None:
            return _config(*found)
    return NO_CONFIG


def read_config_quietly(directory: str | None = None) -> Config:
    """Return the settings; where they make no sense, none, and the ``trouble``."""
    try:
        return read_config(directory)
    except LeakguardError as error:
        return Config(trouble=f"No suppression counts: {error}.")


def read_table(directory: str) -> tuple[str, dict[str, Any]] | None:
    """Return the file in this very directory that speaks of leakguard, and its table.

    Raises:
        LeakguardError: the file cannot be read or makes no sense; one sentence.

    """
    for path in (os.path.join(directory, name) for name in (FILE, PROJECT)):
        data = _content(path)
        table = None if data is None else _table(path, data)
        if table is not None:
            return path, table
    return None


def _upward(directory: str | None) -> list[str]:
    try:
        here = os.path.abspath(directory or os.getcwd())
    except OSError:  # it has been removed
        return []
    found = []
    while True:
        found.append(here)
        above = os.path.dirname(here)
        if above == here:
            return found
        here = above


def _content(path: str) -> bytes | None:
    """Return what is in a file; ``None`` where there is none."""
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise LeakguardError(f"{path}: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise LeakguardError(f"{path}: more than {_MOST_BYTES >> 20} MiB")
    return data


def _table(path: str, data: bytes) -> dict[str, Any] | None:
    """Return our part of a file, if it has one."""
    if os.path.basename(path) == FILE:
        return _parse(path, data)
    if b"leakguard" not in data:  # whatever else is wrong with it is not our trouble
        return None
    tool = _parse(path, data).get("tool")
    ours = tool.get("leakguard") if isinstance(tool, dict) else None
    if ours is not None and not isinstance(ours, dict):
        raise LeakguardError(f"{path}: tool.leakguard is a table")
    return ours


def _parse(path: str, data: bytes) -> dict[str, Any]:
    try:
        if sys.version_info >= (3, 11):
            import tomllib as toml
        else:
            import tomli as toml
        return toml.loads(data.decode())
    except ImportError as error:  # nothing of leakguard's dependencies is there
        raise LeakguardError(f"{path}: it takes {error.name} to read it") from error
    except UnicodeDecodeError as error:
        raise LeakguardError(f"{path}: it is not UTF-8 text") from error
    except ValueError as error:
        raise LeakguardError(f"{path}: it is not TOML: {error}") from error
    except RecursionError as error:
        raise LeakguardError(f"{path}: it is nested too deeply") from error


def _config(path: str, table: dict[str, Any]) -> Config:
    for key in table:
        if key not in _KEYS:
            known = ", ".join(_KEYS)
            raise LeakguardError(f"{path}: there is no {key!a}; there is {known}")
    try:
        return Config(path, suppressions_of(table.get("suppress", [])))
    except LeakguardError as error:
        raise LeakguardError(f"{path}: {error}") from None
