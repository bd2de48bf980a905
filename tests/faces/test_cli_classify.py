"""``leakguard classify``: files, pipes, a log that still grows, exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leakguard
from leakguard import cli
from leakguard._core.trend import Forecast, Trend
from leakguard._render.chart import HINT
from leakguard.cli import classify, live
from leakguard.cli.live import LiveScreen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from leakguard._core.records import VerdictKind
    from leakguard._core.samples import Sample

SOURCE = str(Path(leakguard.__file__).parents[1])
LEAKING = "".join(f"{100 + n}MiB / 1GiB\n" for n in range(300))
FLAT = "100MiB / 1GiB\n101MiB / 1GiB\n" * 150
PATIENCE_SECONDS = 30.0


def verdict(kind: VerdictKind, samples: int = 2) -> Trend:
    forecast = Forecast(None, None, None, "none is made")
    return Trend(kind, 0.9, "Because.", None, None, None, forecast, samples)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Let the verdict be a leak if memory ends higher; note what was asked."""
    asked: dict[str, object] = {}

    def judged(samples: Sequence[Sample], *, limit_bytes: int | None = None) -> Trend:
        asked.update(samples=samples, limit_bytes=limit_bytes)
        sizes = [sample.cgroup_usage_bytes or 0 for sample in samples]
        return verdict("leak" if sizes[-1] > sizes[0] else "steady", len(samples))

    monkeypatch.setattr(classify, "judge_history", judged)
    return asked


def give_stdin(
    monkeypatch: pytest.MonkeyPatch, *pieces: bytes, ending: BaseException | None = None
) -> None:
    """Make stdin a pipe that gives the pieces one by one, and then ends."""
    left = list(pieces)

    def read1(_size: int) -> bytes:
        if left:
            return left.pop(0)
        if ending is not None:
            raise ending
        return b""

    def fileno() -> int:
        raise io.UnsupportedOperation

    buffer = types.SimpleNamespace(read1=read1, fileno=fileno)
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=buffer))


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stdout a terminal of 80 columns without colours."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    return stream


@pytest.mark.parametrize(
    ("text", "kind", "code"), [(LEAKING, "leak", 1), (FLAT, "steady", 0)]
)
def test_a_file_is_judged(
    text: str, kind: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "memory.log"
    log.write_text(text)
    assert cli.main(["classify", str(log), "--period", "10s", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["kind"]) == ("leakguard.verdict/1", kind)
    assert (document["samples"], document["ignored_lines"]) == (300, 0)
    assert "container" not in document
    if kind == "leak":
        rate = document["growth_bytes_per_second"]
        assert rate == pytest.approx((1 << 20) / 10, rel=0.1)


def test_native_leaks_exit_with_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "log").write_text(FLAT)
    monkeypatch.setattr(
        classify, "judge_history", lambda _samples, **_limit: verdict("native-leak")
    )
    assert cli.main(["classify", str(tmp_path / "log")]) == 1


@pytest.mark.usefixtures("judge")
def test_text_says_the_verdict_first_and_what_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text("garbage\n" + LEAKING)
    assert cli.main(["classify", str(tmp_path / "log")]) == 1
    out = capsys.readouterr().out
    assert out.startswith("LEAK  (confidence 90 %)\nBecause.\n")
    assert "300 samples over 4 min 59 s" in out
    assert "1 s from one line" in out
    assert "1 line that cannot be read, such as line 1: garbage" in out
    assert "|" not in out  # no chart in a pipe


def test_period_and_limit_are_taken(
    judge: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text("1MiB / 1GiB\n1MiB / 1GiB\n")
    options = ["--period", "5s", "--limit", "512MiB"]
    assert cli.main(["classify", str(tmp_path / "log"), *options]) == 0
    samples = judge["samples"]
    assert [sample.t_seconds for sample in samples] == [0.0, 5.0]  # type: ignore[attr-defined]
    assert judge["limit_bytes"] == 512 << 20
    assert "assumed" not in capsys.readouterr().out


@pytest.mark.usefixtures("judge")
def test_several_containers_get_one_verdict_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text(
        "db 5MiB / 1GiB\napi 5MiB / 1GiB\ndb 5MiB / 1GiB\napi 9MiB / 1GiB\n"
    )
    assert cli.main(["classify", str(tmp_path / "log"), "--json"]) == 1
    lines = capsys.readouterr().out.splitlines()
    found = [(d["container"], d["kind"]) for d in map(json.loads, lines)]
    assert found == [("db", "steady"), ("api", "leak")]
    assert cli.main(["classify", str(tmp_path / "log")]) == 1
    out = capsys.readouterr().out
    assert out.index("api\nLEAK") < out.index("db\nNO LEAK")


@pytest.mark.usefixtures("judge")
def test_a_pipe_is_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "é 1MiB / 1GiB\né 2MiB / 1GiB\n".encode()
    give_stdin(monkeypatch, *(text[n : n + 1] for n in range(len(text))))
    assert cli.main(["classify", "-", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["samples"] == 2


@pytest.mark.usefixtures("judge")
def test_ctrl_c_ends_a_pipe_with_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = KeyboardInterrupt()
    give_stdin(monkeypatch, b"1MiB / 1GiB\n", b"2MiB / 1G", ending=stop)
    assert cli.main(["classify", "-", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["samples"], document["ignored_lines"]) == (1, 1)
    give_stdin(monkeypatch, b"nothing yet", ending=stop)
    assert cli.main(["classify", "-"]) == 130


@pytest.mark.usefixtures("judge")
def test_ctrl_c_while_a_file_is_read_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "log").write_text(FLAT)

    def feed(_reader: object, _text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("leakguard.cli.classify.LogReader.feed", feed)
    assert cli.main(["classify", str(tmp_path / "log")]) == 130


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot read {}: No such file or directory"),
        (b"", "{} holds no measurement: it should be docker stats, kubectl top"),
        (b"-- / --\n", "{} holds no measurement: it should be docker stats"),
        (b"hello\x07\nx\n", "{} holds no measurement: line 1 (hello\\x07) is none of"),
    ],
)
def test_a_log_that_cannot_be_used(
    content: bytes | None,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "memory.log"
    if content is not None:
        log.write_bytes(content)
    assert cli.main(["classify", str(log)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("leakguard: " + sentence.format(log))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: FILE"),
        (["."], "cannot read .: "),
        (["a\0b"], "cannot read a\\x00b: "),
        (["log", "--period", "0"], "argument --period: it has to be longer than zero"),
        (["log", "--limit", "0"], "argument --limit: it has to be more than zero"),
        (["log", "--limit", "much"], "argument --limit: 'much' is not a size"),
        (["log", "--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_mistakes_of_usage(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["classify", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"leakguard: {sentence}")


def test_no_stdin_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["classify", "-"]) == 2
    assert "there is no stdin to read a log from" in capsys.readouterr().err


def test_a_failing_read_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = OSError(5, "Input/output error")
    give_stdin(monkeypatch, b"1MiB / 1GiB\n", ending=broken)
    assert cli.main(["classify", "-"]) == 2
    assert capsys.readouterr().err == ("leakguard: cannot read -: Input/output error\n")


@pytest.mark.usefixtures("judge")
def test_a_terminal_gets_a_chart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    (tmp_path / "log").write_text(LEAKING)
    assert cli.main(["classify", str(tmp_path / "log")]) == 1
    assert "MiB | " in terminal.getvalue()
    monkeypatch.setitem(sys.modules, "plotille", None)
    assert cli.main(["classify", str(tmp_path / "log")]) == 1
    assert HINT in terminal.getvalue()


@pytest.mark.usefixtures("judge")
def test_a_terminal_without_the_signs_gets_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = on_terminal(monkeypatch)
    terminal.encoding = "ascii"  # type: ignore[assignment]
    (tmp_path / "log").write_text(LEAKING)
    assert cli.main(["classify", str(tmp_path / "log")]) == 1
    assert "MiB | " not in terminal.getvalue()


@pytest.mark.usefixtures("judge")
def test_a_growing_log_is_drawn_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(live, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(live, "_REST", 0)
    give_stdin(monkeypatch, b"half", b" 1MiB / 1GiB\n", b"half 2MiB / 1GiB\n")
    assert cli.main(["classify", "-"]) == 1
    *drawn, last = terminal.getvalue().split("\x1b[H")
    assert "No measurement yet." in drawn[2]
    assert "NO LEAK" in drawn[3]
    assert "half\x1b[K\nLEAK" in drawn[4]
    assert "Ctrl-C ends this" in drawn[4]
    assert last.startswith("\x1b[Jhalf\nLEAK")
    assert "Ctrl-C" not in last


@pytest.mark.usefixtures("judge")
def test_a_dumb_terminal_gets_only_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    give_stdin(monkeypatch, b"1MiB / 1GiB\n", b"2MiB / 1GiB\n")
    assert cli.main(["classify", "-"]) == 1
    assert terminal.getvalue().startswith("LEAK")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note how long is waited for more input; there is more, always."""
    noted: list[float] = []

    def fake_select(
        source: list[object], _w: object, _x: object, wait: float
    ) -> object:
        noted.append(wait)
        return source, [], []

    monkeypatch.setattr(select, "select", fake_select)
    return noted


def test_a_drawing_waits_while_there_is_more_to_read(waits: list[float]) -> None:
    clock, stream = Clock(), io.StringIO()
    screen = LiveScreen(stream, io.BytesIO(), clock)
    screen.offer(lambda: "one")
    clock.now = 0.2
    screen.offer(lambda: "two")
    assert waits == [pytest.approx(0.3)]
    clock.now = 0.6
    screen.offer(lambda: "three")
    assert ("one" in stream.getvalue(), "two" in stream.getvalue()) == (True, False)
    assert "three" in stream.getvalue()


@pytest.mark.usefixtures("waits")
def test_slow_drawings_are_rare() -> None:
    clock, stream = Clock(), io.StringIO()
    screen = LiveScreen(stream, io.BytesIO(), clock)

    def slow() -> str:
        clock.now += 1.0
        return "slow"

    screen.offer(slow)
    clock.now = 10.9
    screen.offer(lambda: "early")
    clock.now = 11.1
    screen.offer(lambda: "late")
    assert "early" not in stream.getvalue()
    assert "late" in stream.getvalue()


def test_what_cannot_be_waited_for_is_drawn_when_due() -> None:
    clock, stream = Clock(), io.StringIO()
    screen = LiveScreen(stream, io.BytesIO(), clock)
    screen.offer(lambda: "one")
    screen.offer(lambda: "two")  # select() refuses what is no file
    assert "two" not in stream.getvalue()


def test_a_drawing_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "10")
    stream = io.StringIO()
    LiveScreen(stream, io.BytesIO()).offer(lambda: "line\n" * 50)
    assert stream.getvalue().count("line") == 8


@contextlib.contextmanager
def following(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the command on a terminal of its own, reading from a pipe."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "leakguard", "classify", "-"],
        stdin=subprocess.PIPE,
        stdout=slave,
        stderr=slave,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": SOURCE, "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(slave)
    try:
        yield child, master
    finally:
        child.kill()
        child.wait()
        os.close(master)
        if child.stdin:
            child.stdin.close()


def shown_until(master: int, sign: str) -> str:
    """Read from a terminal until the sign has come."""
    text = b""
    while sign.encode() not in text:
        ready = select.select([master], [], [], PATIENCE_SECONDS)[0]
        assert ready, f"{sign!r} did not come after {text!r}"
        text += os.read(master, 65536)
    return text.decode()


@pytest.mark.parametrize("by_signal", [True, False])
def test_following_a_pipe_on_a_real_terminal(
    by_signal: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    with following(tmp_path) as (child, master):
        assert child.stdin is not None
        child.stdin.write(FLAT.encode() + b"10")  # and half a line
        child.stdin.flush()
        shown_until(master, "300 samples")
        child.stdin.write(b"0MiB / 1GiB\n")
        child.stdin.flush()
        shown_until(master, "301 samples")
        if by_signal:
            child.send_signal(signal.SIGINT)
        else:
            child.stdin.close()
        last = shown_until(master, "301 samples")
        assert "Ctrl-C" not in last.rpartition("\x1b[J")[2]
        assert child.wait(PATIENCE_SECONDS) == 0
