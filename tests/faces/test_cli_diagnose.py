"""``leakguard diagnose`` and ``leakguard report``: streams, files, exit codes."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leakguard
from leakguard import cli, reports, testing
from leakguard._core.records import LeakguardError, Report
from leakguard.cli import output
from leakguard.cli.progress import ProgressLine
from leakguard.cli.streams import reserved_stdout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = str(Path(leakguard.__file__).parents[1])
DOCUMENT = """{"schema": "leakguard.report/1", "created_at": "2026-01-01T00:00:00Z",
"program": {"argv0": "shop.py", "pid": 1, "python": "3.12.1", "leakguard": "0.1",
"mode": "diagnose"},
"verdict": {"kind": "steady", "confidence": 0.9, "reason": "nothing grows"},
"memory": {}, "suspects": [],
"cost": {"overhead_ratio": null, "longest_pause_seconds": null, "windows": 1,
"seconds": 1.0}}"""
WORK = """
import atexit, os, subprocess, sys
atexit.register(print, "goodbye")
print("imported")
def work():
    print("at work")
    os.write(1, b"from C\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"])
"""
#: A stand-in for the diagnosis in a process of its own.
FAKED = """
import sys
from leakguard import cli, reports, testing
from pathlib import Path
def diagnose(work, *args, progress, **options):
    progress("one call")
    work()
    return reports.load(Path("saved.json"))
testing.diagnose = diagnose
raise SystemExit(cli.main())
"""


def a_report(kind: str = "steady") -> Report:
    """Return a small report with that verdict."""
    report = reports.load(io.StringIO(DOCUMENT))
    verdict = dataclasses.replace(report.verdict, kind=kind)  # type: ignore[arg-type]
    return dataclasses.replace(report, verdict=verdict)


@pytest.fixture(autouse=True)
def restored_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a directory of its own; forget what was imported there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "app.py").write_text(
        "def work():\n    print('working')\n\n"
        "def fail(number):\n    raise ValueError('no more\\nstock')\n",
        encoding="utf-8",
    )
    yield
    sys.modules.pop("app", None)


class FakeDiagnose:
    """Stands in for ``diagnose``: remembers how it was called, runs the work once."""

    def __init__(self, kind: str = "steady") -> None:
        self.kind = kind
        self.options: dict[str, Any] = {}

    def __call__(
        self, work: Callable[..., object], *args: object, **options: object
    ) -> Report:
        self.options = {"args": args, **options}
        work()
        return a_report(self.kind)


@pytest.fixture
def diagnose(monkeypatch: pytest.MonkeyPatch) -> FakeDiagnose:
    fake = FakeDiagnose()
    monkeypatch.setattr(testing, "diagnose", fake)
    return fake


def raising(error: BaseException) -> Callable[..., Report]:
    """Return a diagnosis whose fourth call raises."""

    def diagnose(_work: object, *_args: object, **_options: object) -> Report:
        if not isinstance(error, Exception):
            raise error
        raise testing.WorkFailed(3, error) from error

    return diagnose


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("leak", 1),
        ("native-leak", 1),
        ("steady", 0),
        ("cache", 0),
        ("load", 0),
        ("fragmentation", 0),
        ("unknown", 0),
    ],
)
def test_only_a_leak_exits_with_1(kind: str, code: int, diagnose: FakeDiagnose) -> None:
    diagnose.kind = kind
    assert cli.main(["diagnose", "app.py:work"]) == code


def test_the_report_is_stdout_and_what_the_work_prints_is_not(
    diagnose: FakeDiagnose, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnose.kind = "leak"
    assert cli.main(["diagnose", "app.py:work", "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["verdict"]["kind"] == "leak"
    assert shown.err == "working\n"
    cli.main(["diagnose", "app.py:work"])
    shown = capsys.readouterr()
    assert "nothing grows" in shown.out
    assert "working" not in shown.out


def test_options_reach_the_diagnosis(diagnose: FakeDiagnose, tmp_path: Path) -> None:
    options = ["--calls", "40", "--seconds", "2m", "--nframe", "7"]
    cli.main(["diagnose", "app.py:work", *options])
    assert diagnose.options["args"] == (40, 7)
    assert diagnose.options["seconds"] == 120
    assert diagnose.options["app_root"] == str(tmp_path)


@pytest.mark.usefixtures("diagnose")
def test_the_target_does_not_see_our_arguments(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import sys\nassert sys.argv == ['app.py:work']\ndef work(): pass\n",
        encoding="utf-8",
    )
    ours = sys.argv
    assert cli.main(["diagnose", "app.py:work"]) == 0
    assert sys.argv is ours


@pytest.mark.usefixtures("diagnose")
@pytest.mark.parametrize(
    ("name", "begins"),
    [("r.json", "{"), ("report", "{"), ("r.TXT", "NO LEAK"), ("r.md", "#")],
)
def test_the_suffix_decides_on_the_format_of_the_file(
    name: str, begins: str, tmp_path: Path
) -> None:
    assert cli.main(["diagnose", "app.py:work", "--output", name]) == 0
    text = (tmp_path / name).read_text("utf-8")
    assert text.startswith(begins)
    assert text.endswith("\n")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(
        ["app.py", name]
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("r.html", "cannot write r.html: the name has to end in .json, .txt, .md"),
        ("nowhere/r.json", "cannot write nowhere/r.json: no directory "),
        (".", "cannot write .: it is a directory"),
    ],
)
def test_where_to_write_is_checked_before_the_work(
    name: str,
    says: str,
    diagnose: FakeDiagnose,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["diagnose", "app.py:work", "--output", name]) == 2
    assert capsys.readouterr().err.startswith(f"leakguard: {says}")
    assert not diagnose.options


def test_a_directory_that_refuses_is_found_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(LeakguardError, match="permission denied"):
        output.destination("r.json")


def test_work_that_fails_shows_its_own_frames_and_one_line_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["diagnose", "app.py:fail"]) == 2
    shown = capsys.readouterr().err
    first, frame, *_, last = shown.splitlines()
    assert first == "Traceback (most recent call last):"
    assert frame == f'  File "{tmp_path / "app.py"}", line 5, in fail'
    assert shown.count("  File ") == 1
    assert last == (
        "leakguard: app.py:fail failed in call 0, counted from 0: "
        "ValueError: no more stock (app.py line 5)"
    )


def test_work_that_exits_is_an_error_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(testing, "diagnose", raising(SystemExit(0)))
    assert cli.main(["diagnose", "app.py:work"]) == 2
    assert "app.py:work ends the program: SystemExit" in capsys.readouterr().err


def test_a_failure_without_a_cause_is_its_own_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diagnose(*_args: object, **_options: object) -> Report:
        raise testing.WorkFailed(2, ValueError("gone"))

    monkeypatch.setattr(testing, "diagnose", diagnose)
    assert cli.main(["diagnose", "app.py:work"]) == 2
    assert "failed in call 2" in capsys.readouterr().err


@pytest.mark.parametrize("json_flag", [["--json"], []])
def test_in_a_process_of_its_own_nothing_mixes_with_the_report(
    json_flag: list[str], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(WORK, encoding="utf-8")
    (tmp_path / "saved.json").write_text(DOCUMENT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", FAKED, "diagnose", "app.py:work", *json_flag],
        env=os.environ | {"PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if json_flag:
        assert json.loads(done.stdout)["verdict"]["kind"] == "steady"
    assert "nothing grows" in done.stdout
    for words in ("imported", "at work", "from C", "from a child", "goodbye"):
        assert words in done.stderr
        assert words not in done.stdout
    assert "diagnosing" not in done.stderr  # no progress in a pipe


def test_real_errors_of_targets_are_one_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import nothing_there\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "leakguard", "diagnose", "bad.py:work"],
        env=os.environ | {"PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "leakguard: cannot import bad.py: ModuleNotFoundError: No module named "
        "'nothing_there' (bad.py line 1)\n"
    )


# -- leakguard report ---------------------------------------------------------


@pytest.mark.parametrize("format_", ["text", "markdown", "json"])
def test_a_saved_report_is_shown(
    format_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output.save(a_report("leak"), tmp_path / "r.json")
    assert cli.main(["report", "r.json", "--format", format_, "--verbose"]) == 0
    assert "nothing grows" in capsys.readouterr().out


def test_a_report_is_read_from_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(DOCUMENT.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert cli.main(["report", "-"]) == 0
    assert "nothing grows" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["report", "-"]) == 2


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"hello", b"\xff\xfe\x00", b'{"schema": "other/1"}']
)
def test_what_is_no_report_is_one_line_and_exit_2(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.json").write_bytes(content)
    assert cli.main(["report", "r.json"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert "r.json" in shown.err


@pytest.mark.parametrize("arguments", [["gone.json"], ["."]])
def test_what_cannot_be_read_is_one_line_and_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_unknown_format_names_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.json").write_text(DOCUMENT, encoding="utf-8")
    assert cli.main(["report", "r.json", "--format", "html"]) == 2
    assert "text, json, markdown" in capsys.readouterr().err


# -- files and streams --------------------------------------------------------


def test_saving_replaces_a_file_through_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old", encoding="utf-8")
    link.symlink_to(real)
    output.save(a_report(), link)
    assert link.is_symlink()
    assert "nothing grows" in real.read_text("utf-8")


def test_saving_writes_into_a_device() -> None:
    output.save(a_report(), output.destination(os.devnull))
    assert Path(os.devnull).exists()
    assert not Path(os.devnull).is_file()


def test_a_failed_save_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "r.json"
    old.write_text("old", encoding="utf-8")

    def replace(_half: Path, _path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(LeakguardError, match="No space left on device"):
        output.save(a_report(), old)
    assert old.read_text("utf-8") == "old"
    assert {path.name for path in tmp_path.iterdir()} <= {"r.json", "app.py"}


def test_what_an_encoding_lacks_becomes_a_question_mark() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    output.emit("é", stream)
    assert raw.getvalue() == b"?\n"


def test_without_a_stream_it_goes_nowhere() -> None:
    output.show(a_report(), None)
    output.show_json(a_report(), None)


def test_a_directory_that_is_gone_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cwd() -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", cwd)
    output.show(a_report(), sys.stdout)
    assert "nothing grows" in capsys.readouterr().out


DIVERTED = """
import os, sys
from leakguard.cli.streams import reserved_stdout
old = sys.stdout
print("before")
with reserved_stdout(restore=True) as stdout:
    os.write(1, b"C\\n")
    print("Python")
    old.write("old object\\n")
    print("report", file=stdout)
assert sys.stdout is old
os.write(1, b"after\\n")
print("at last")
"""


def test_stdout_comes_back_at_every_level() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIVERTED],
        env=os.environ | {"PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split("\n") == ["before", "report", "after", "at last", ""]
    assert sorted(done.stderr.split("\n")) == ["", "C", "Python", "old object"]


@pytest.mark.skipif(os.name != "posix", reason="the shell closes descriptors")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_descriptors_are_no_trouble(closed: str, tmp_path: Path) -> None:
    (tmp_path / "saved.json").write_text(DOCUMENT, encoding="utf-8")
    (tmp_path / "fake.py").write_text(FAKED, encoding="utf-8")
    command = f"{sys.executable} fake.py diagnose app.py:work --output r.json {closed}"
    done = subprocess.run(
        ["sh", "-c", command],
        env=os.environ | {"PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "r.json").read_text("utf-8"))


def test_a_missing_stdout_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with reserved_stdout(restore=True) as stdout:
        print("nobody reads this", file=stdout)
    assert sys.stdout is None
    stdout.close()


class Terminal(io.StringIO):
    """A terminal that remembers everything written to it."""

    encoding = "ascii"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_in_place_and_erased() -> None:
    terminal = Terminal()
    with ProgressLine(terminal, "work") as progress:
        progress("7 calls")
    drawn = terminal.getvalue().split("\r")
    assert drawn == ["", "work ?", "work: 7 calls", " " * 13, ""]


def test_progress_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    with ProgressLine(terminal, "a label that is long"):
        pass
    assert max(map(len, terminal.getvalue().split("\r"))) == 19


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_there_is_no_progress_in_a_pipe(stream: io.StringIO | None) -> None:
    with ProgressLine(stream, "work") as progress:
        progress("7 calls")
    assert stream is None or stream.getvalue() == ""


def test_terminals_are_asked_for_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"TERM": "xterm", "COLUMNS": "300"})
    terminal, pipe = Terminal(), io.StringIO()
    output.show(a_report("leak"), terminal)
    output.show(a_report("leak"), pipe)
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in pipe.getvalue()
