"""``leakguard doctor``: what a tired person and a script get to see."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import leakguard
from leakguard import cli
from leakguard._core.advice import Finding
from leakguard.cli import doctor

if TYPE_CHECKING:
    import pytest

FINDINGS = (
    Finding("warning", "kills", "3 killed", "find what grows"),
    Finding("note", "huge pages", "always", "echo madvise"),
    Finding("ok", "limit", "512 MiB (cgroup2 /\x1b[31m)", ""),
)


def test_text_shows_each_remedy_below_its_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert doctor.text(FINDINGS).splitlines() == [
        "1 warning and 1 note",
        "",
        "warning  kills       3 killed",
        "                     fix: find what grows",
        "note     huge pages  always",
        "                     fix: echo madvise",
        r"ok       limit       512 MiB (cgroup2 /\x1b[31m)",
    ]


def test_all_well_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert doctor.text(FINDINGS[2:]).startswith("Nothing here will hurt\n")
    assert doctor.text(()).startswith("Nothing here will hurt")
    assert doctor.text(FINDINGS[:1] * 2).startswith("2 warnings\n")


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;31mwarning\x1b[0m" in doctor.text(FINDINGS)
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setattr(sys, "stdout", None)
    assert "\x1b" not in doctor.text(FINDINGS)


def test_it_examines_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for topic in ("limit", "allocator", "python", "gc"):
        assert f" {topic} " in shown


def test_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "leakguard.doctor/1"
    assert set(document["findings"][0]) == {"level", "topic", "fact", "remedy"}
    assert document["settings"]["version"] == list(sys.version_info[:3])


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--frob"]) == 2
    assert "unrecognized arguments: --frob" in capsys.readouterr().err


def test_a_library_that_is_not_loaded_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "leakguard", "doctor"],
        env={
            "PYTHONPATH": str(Path(leakguard.__file__).parents[1]),
            "LD_PRELOAD": "/nowhere/libjemalloc.so.2",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    if sys.platform == "linux":
        assert "LD_PRELOAD asks for jemalloc, which is not loaded" in done.stdout
