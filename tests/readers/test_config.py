"""The settings of a project are found upward, and a bad file is one sentence."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from leakguard._core.records import LeakguardError
from leakguard._core.suppressions import Suppression
from leakguard._readers.config import Config, read_config, read_config_quietly

if TYPE_CHECKING:
    from pathlib import Path

RULE = '[[{0}suppress]]\npath = "a.py"\nreason = "known"\nexpires = 2026-12-31\n'
FOUND = (Suppression("known", path="a.py", expires="2026-12-31"),)


def test_without_a_file_there_are_no_settings(tmp_path: Path) -> None:
    assert read_config(str(tmp_path)) == Config()


@pytest.mark.parametrize(
    ("name", "prefix"), [("leakguard.toml", ""), ("pyproject.toml", "tool.leakguard.")]
)
def test_the_nearest_file_upward_counts(
    tmp_path: Path, name: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / name).write_text(RULE.format(prefix))
    monkeypatch.chdir(inner)
    assert read_config() == Config(str(tmp_path / name), FOUND)
    (tmp_path / "a" / "leakguard.toml").write_text("")
    assert read_config() == Config(str(tmp_path / "a" / "leakguard.toml"))


def test_the_file_of_our_own_comes_before_the_projects(tmp_path: Path) -> None:
    (tmp_path / "leakguard.toml").write_text("")
    (tmp_path / "pyproject.toml").write_text(RULE.format("tool.leakguard."))
    assert read_config(str(tmp_path)).suppressions == ()


@pytest.mark.parametrize(
    "text",
    [
        'dependencies = ["leakguard"]',
        "tool = 'leakguard'",
        "this is not TOML",
    ],
)
def test_a_project_without_our_table_is_passed_by(tmp_path: Path, text: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text(text)
    (tmp_path / "leakguard.toml").write_text(RULE.format(""))
    assert read_config(str(inner)).suppressions == FOUND


def test_without_what_reads_it_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leakguard.toml").write_text(RULE.format(""))
    for name in ("tomli", "tomllib"):
        monkeypatch.setitem(sys.modules, name, None)
    found = read_config_quietly(str(tmp_path))
    assert found.suppressions == ()
    assert "it takes toml" in str(found.trouble)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("leakguard.toml", b"[[suppress", "it is not TOML: "),
        ("leakguard.toml", b"\xff", "it is not UTF-8 text"),
        ("leakguard.toml", b" " * ((1 << 20) + 1), "more than 1 MiB"),
        ("leakguard.toml", b"x = " + b"[" * 100_000, "it is nested too deeply"),
        ("leakguard.toml", b"supress = []", "there is no 'supress'; there is suppress"),
        ("leakguard.toml", b"suppress = 1", "suppress is a list of tables"),
        ("pyproject.toml", b"[tool]\nleakguard = 1", "tool.leakguard is a table"),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_it(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LeakguardError) as caught:
        read_config(str(tmp_path))
    assert str(caught.value).startswith(f"{path}: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    quiet = read_config_quietly(str(tmp_path))
    assert quiet == Config(trouble=f"No suppression counts: {caught.value}.")


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="permissions bind others"
)
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "leakguard.toml"
    path.write_text("")
    path.chmod(0)
    with pytest.raises(LeakguardError, match="Permission denied"):
        read_config(str(tmp_path))


def test_a_file_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leakguard.toml").write_text("")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(LeakguardError, match="Input/output error"):
        read_config(str(tmp_path))


def test_a_directory_that_is_gone_has_no_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", gone)
    assert read_config() == Config()
