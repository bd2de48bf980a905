"""The command line as a whole: verbs, usage errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leakguard
from leakguard import cli
from leakguard._core.records import LeakguardError

if TYPE_CHECKING:
    import argparse

SOURCE = str(Path(leakguard.__file__).parents[1])
VERBS = ", ".join(cli.VERBS)


def leakguard_command(
    *arguments: str, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "leakguard", *arguments],
        env=os.environ | {"PYTHONPATH": SOURCE},
        text=True,
        check=False,
        timeout=60,
        **({"capture_output": True} | options),  # type: ignore[call-overload]
    )


def failing_verb(error: BaseException) -> types.ModuleType:
    """Make a verb that takes no arguments and raises."""
    verb = types.ModuleType("failing")

    def run(_args: argparse.Namespace) -> int:
        raise error

    vars(verb).update(add_arguments=lambda _parser: None, run=run)
    return verb


def run_failing_verb(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setitem(sys.modules, "leakguard.cli.report", failing_verb(error))
    return cli.main(["report"])


def one_line(text: str) -> str:
    """Return the only line of an error output."""
    (line,) = text.splitlines()
    return line


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb, (_, line) in cli.VERBS.items():
        assert verb in shown
        assert line.split()[0] in shown
    assert "exit codes: 0 fine, 1 a leak found" in shown


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_each_verb_explains_itself(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"usage: leakguard {verb}" in shown
    assert "exit codes:" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"leakguard {leakguard.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], f"which verb? one of {VERBS}"),
        (["diagnos"], "no verb 'diagnos': did you mean 'diagnose'?"),
        (["xyz"], f"no verb 'xyz': there are {VERBS}"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["diagnose"], "the following arguments are required: TARGET"),
        (["diagnose", "a:b", "--frob"], "unrecognized arguments: --frob"),
        (["diagnose", "a:b", "--calls", "0"], "--calls: '0' is not a whole number"),
        (["diagnose", "a:b", "--calls", "-3"], "--calls"),
        (["diagnose", "a:b", "--seconds", "soon"], "'soon' is not a duration"),
        (["diagnose", "a:b", "--seconds", "0"], "longer than zero"),
        (["diagnose", "a:b", "--calls", "1", "--js"], "unrecognized arguments: --js"),
        (["run", "--budget", "7", "p.py"], "'7' is not a share such as 0.05 or 5%"),
        (["run", "--budget", "x%", "p.py"], "'x%' is not a share"),
        (["run", "--signal", "SIGKILL", "p.py"], "'SIGKILL' is not a signal one can"),
        (["run", "--signal", "SIGNOT", "p.py"], "'SIGNOT' is not a signal one can"),
        (["run", "--signal", "_DFL", "p.py"], "'_DFL' is not a signal one can"),
        (["run"], "which program?"),
        (["run", "--"], "which program?"),
        (["run", "-m"], "-m needs the name of a module"),
        (["run", "--every", "60s"], "which program?"),
        (["run", "--frob", "p.py"], "unrecognized arguments: --frob"),
        (["report"], "the following arguments are required: FILE"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    line = one_line(shown.err)
    assert line.startswith("leakguard: ")
    assert says in line


def test_usage_errors_name_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["diagnose"])
    assert capsys.readouterr().err.endswith("(see leakguard diagnose --help)\n")


def test_an_error_of_ours_becomes_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = LeakguardError("it is\n  no use")
    assert run_failing_verb(error, monkeypatch) == 2
    assert capsys.readouterr().err == "leakguard: it is no use\n"


def test_ctrl_c_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_failing_verb(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == "leakguard: interrupted\n"


def test_a_bug_is_never_mistaken_for_a_leak(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_failing_verb(ZeroDivisionError("oops"), monkeypatch) == 2
    shown = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError: oops" in shown
    assert shown[-1].startswith("leakguard: this is a bug in leakguard")


def test_errors_without_a_stderr_are_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["nothing"]) == 2


def test_python_dash_m_runs_it() -> None:
    done = leakguard_command("--version")
    assert (done.returncode, done.stdout) == (0, f"leakguard {leakguard.__version__}\n")
    done = leakguard_command("frobnicate")
    assert (done.returncode, done.stdout) == (2, "")
    assert one_line(done.stderr).startswith("leakguard: no verb 'frobnicate'")


@pytest.mark.skipif(os.name != "posix", reason="pipes that break are POSIX's")
def test_a_closed_pipe_ends_it_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = leakguard_command(
            "report",
            "--format",
            "json",
            "-",
            capture_output=False,
            input=DOCUMENT,
            stdout=writing,
            stderr=subprocess.PIPE,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_help_loads_no_third_party_module() -> None:
    code = (
        "import sys; before = set(sys.modules); from leakguard import cli; "
        "[cli.main([verb, '--help']) for verb in cli.VERBS]; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}), "
        "file=sys.stderr)"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path += [{SOURCE!r}];{code}",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert set(done.stderr.split()) - set(sys.stdlib_module_names) == {"leakguard"}


DOCUMENT = """{"schema": "leakguard.report/1", "created_at": "2026-01-01T00:00:00Z",
"program": {"argv0": "shop.py", "pid": 1, "python": "3.12.1", "leakguard": "0.1",
"mode": "diagnose"},
"verdict": {"kind": "steady", "confidence": 0.9, "reason": "nothing grows"},
"memory": {}, "suspects": [],
"cost": {"overhead_ratio": null, "longest_pause_seconds": null, "windows": 1,
"seconds": 1.0}}"""
