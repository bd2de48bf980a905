"""What a project suppresses is put aside alike by every face, and nothing vanishes."""

from __future__ import annotations

import functools
import json
import logging
from typing import TYPE_CHECKING

import pytest

from leakguard import LeakguardError, assert_no_growth, cli, diagnose, testing
from leakguard._core.findings import Explained
from leakguard._core.records import Verdict
from leakguard._runtime import monitor as module
from leakguard._runtime.monitor import Monitor, Options, attach, detach, process
from tests.core.builders import suspect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEPT: list[object] = []
#: A program of its own for the command line.
APP = "KEPT = []\ndef work():\n    KEPT.append(bytearray(1000))\n"
RULE = '[[suppress]]\npath = "*.KEPT"\nreason = "a known bug"\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the file of a project that suppresses what ``KEPT`` holds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(APP)
    file = tmp_path / "leakguard.toml"
    file.write_text(RULE)
    yield file
    KEPT.clear()


def _keep() -> None:
    KEPT.append(bytearray(1_000))


def test_a_diagnosis_puts_it_aside_with_its_reason(project: Path) -> None:
    report = diagnose(_keep, calls=200)
    assert report.verdict.kind == "steady"
    assert report.suspects == ()
    (aside,) = report.suppressed
    assert aside.reason == "a known bug"
    assert aside.suspect.owner is not None
    project.write_text(RULE + "expires = 2020-01-01\n")
    expired = diagnose(_keep, calls=200)
    assert expired.verdict.kind == "leak"
    assert "has expired on 2020-01-01" in expired.notes[0]


def test_an_assertion_holds_for_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    few_calls = functools.partial(diagnose, calls=200)
    monkeypatch.setattr(testing, "diagnose", few_calls)
    assert_no_growth(_keep)


def test_a_file_that_makes_no_sense_is_told_before_the_work_runs(project: Path) -> None:
    project.write_text("[[suppress]]\n")
    with pytest.raises(LeakguardError, match=r"leakguard\.toml: suppress number 1"):
        diagnose(_keep, calls=200)
    assert KEPT == []


def test_the_command_exits_with_0_and_lists_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["diagnose", "app.py:work", "--calls", "200"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("NO LEAK but 1 suppressed suspect")
    assert "suppressed: 1 suspect\n" in text
    assert ": a known bug" in " ".join(text.split())


@pytest.mark.parametrize(
    "command",
    [["diagnose", "app.py:work"], ["run", "app.py"]],
    ids=["diagnose", "run"],
)
def test_the_command_exits_with_2_for_a_bad_file(
    project: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    project.write_text("suppress = 1\n")
    assert cli.main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("leakguard: ")
    assert "suppress is a list of tables" in line


def _explained(*_: object) -> Explained:
    verdict = Verdict("leak", 0.9, "It grows.", None, 1024.0, 60.0)
    return Explained(verdict, (suspect(1024.0, fingerprint="a" * 12),), ())


@pytest.fixture
def leaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every monitor find a leak."""
    monkeypatch.setattr(module, "explain", _explained)


@pytest.mark.usefixtures("leaking")
@pytest.mark.parametrize(("known", "kind"), [("a" * 12, "steady"), ("b" * 12, "leak")])
def test_a_guards_verdict_and_report_leave_it_out(
    project: Path, known: str, kind: str
) -> None:
    project.write_text(f'[[suppress]]\nfingerprint = "{known}"\nreason = "why"\n')
    monitor = Monitor(Options(), process().work)
    monitor.watcher.step()
    monitor.watcher.judge()
    assert monitor.verdict.kind == kind
    assert monitor.verdict.time_to_limit_seconds == 60.0
    report = monitor.report()
    assert report.verdict.kind == kind
    assert len(report.suppressed) == (kind == "steady")
    monitor.watcher.stop()


@pytest.mark.usefixtures("leaking")
def test_a_guard_goes_on_without_a_bad_file_and_says_so(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project.write_text("suppress = 1\n")
    user = object()
    with caplog.at_level(logging.WARNING, "leakguard"):
        monitor = attach(user, Options())
    try:
        report = monitor.report()
    finally:
        detach(user)
    assert "suppress is a list of tables" in caplog.text
    assert report.verdict.kind == "leak"
    assert report.notes[0].startswith("No suppression counts: ")


def test_two_reports_are_compared_by_the_command(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.unlink()
    arguments = ["diagnose", "app.py:work", "--calls", "200", "--output", "old.json"]
    assert cli.main(arguments) == 1
    capsys.readouterr()
    against = ["report", "old.json", "--against", "old.json"]
    assert cli.main(against) == 0
    assert capsys.readouterr().out.startswith("0 new, 0 faster, 1 same")
    assert cli.main([*against, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"][0]["change"] == "same"
    assert cli.main([*against, "--format", "markdown"]) == 0
    assert "| same |" in capsys.readouterr().out
    assert cli.main([*against, "--format", "pdf"]) == 2
    assert "the formats are text, markdown, json" in capsys.readouterr().err
    assert cli.main(["report", "-", "--against", "-"]) == 2
    assert "cannot both be stdin" in capsys.readouterr().err
    assert cli.main(["report", "old.json", "--against", "gone.json"]) == 2
    assert "gone.json" in capsys.readouterr().err
