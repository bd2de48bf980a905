"""``leakguard classify``: the verdict over a memory log, or one still being written."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from leakguard._core.logs import LogReader
from leakguard._core.records import GUILTY, LeakguardError
from leakguard._core.trend import judge_history
from leakguard._core.units import format_bytes
from leakguard._render.chart import draw_chart
from leakguard._render.style import plain, wants_color
from leakguard._render.verdict import render_verdicts, verdict_document
from leakguard.cli import options, output
from leakguard.cli.live import LiveScreen
from leakguard.cli.progress import ProgressLine

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from io import BufferedReader

    from leakguard._core.logs import History
    from leakguard._core.trend import Trend

_PIECE_BYTES = 1 << 16
_WIDEST = 100
_FORMS = "docker stats, kubectl top pod, CSV with a header, JSON lines or sizes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``leakguard classify``."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help=f"a memory log: {_FORMS}; - reads stdin, also while it grows",
    )
    parser.add_argument(
        "--period",
        type=options.seconds,
        metavar="S",
        help="time from one measurement to the next where the log tells no time, such "
        "as 5s (default: 1 s a line, 0.5 s a screen of docker stats)",
    )
    parser.add_argument(
        "--limit",
        type=options.size,
        metavar="SIZE",
        help="the memory limit, such as 512MiB (default: the one in the log)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a JSON document, one line for each container",
    )


def run(args: argparse.Namespace) -> int:
    """Print the verdicts; return 1 when one of them is a leak."""
    name = "stdin" if args.file == "-" else plain(args.file)
    reader = LogReader(json.loads, period_seconds=args.period)
    with _opened(args.file) as source:
        _read(source, reader, args)
    judged = _judged(reader, args.limit)
    if not judged:
        raise LeakguardError(_nothing_in(name, reader))
    if args.json:
        lines = reader.ignored.lines
        documents = (verdict_document(*pair, lines) for pair in judged)
        text = "\n".join(json.dumps(entry, allow_nan=False) for entry in documents)
    else:
        text = _text(reader, judged)
    output.emit(text, sys.stdout)
    return int(any(trend.kind in GUILTY for _, trend in judged))


def _opened(file: str) -> contextlib.AbstractContextManager[BufferedReader]:
    if file != "-":
        try:
            return Path(file).open("rb")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise _unreadable(file, error) from error
    if sys.stdin is None:
        raise LeakguardError("there is no stdin to read a log from")
    return contextlib.nullcontext(cast("BufferedReader", sys.stdin.buffer))


def _unreadable(file: str, error: Exception) -> LeakguardError:
    reason = getattr(error, "strerror", None) or error
    return LeakguardError(f"cannot read {plain(file)}: {reason}")


def _read(source: BufferedReader, reader: LogReader, args: argparse.Namespace) -> None:
    """Feed the reader to the end, or until Ctrl-C ends what would have none."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    total_bytes = 0
    try:
        with _display(source, reader, args) as show:
            while piece := _piece(source, args.file):
                reader.feed(decoder.decode(piece))
                total_bytes += len(piece)
                show(total_bytes)
    except KeyboardInterrupt:
        if _is_regular(source) or not reader.histories():
            raise
    reader.feed(decoder.decode(b"", final=True))
    reader.close()


def _piece(source: BufferedReader, file: str) -> bytes:
    """Return what there is to read, and wait only for the first byte of it."""
    try:
        return source.read1(_PIECE_BYTES)
    except OSError as error:
        raise _unreadable(file, error) from error


@contextlib.contextmanager
def _display(
    source: BufferedReader, reader: LogReader, args: argparse.Namespace
) -> Iterator[Callable[[int], None]]:
    """Yield what shows, after so many bytes, the verdict so far or the progress."""
    follows = not args.json and _is_terminal(sys.stdout) and not _is_regular(source)
    if follows and os.environ.get("TERM") != "dumb":
        with LiveScreen(sys.stdout, source) as screen:
            yield lambda _bytes: screen.offer(lambda: _text_so_far(reader, args.limit))
    else:
        with ProgressLine(sys.stderr, f"reading {plain(args.file)}") as progress:
            yield lambda total_bytes: progress(format_bytes(total_bytes))


def _is_regular(source: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode)
    except OSError:  # not a file of the system's
        return False


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())


def _judged(reader: LogReader, limit_bytes: int | None) -> list[tuple[History, Trend]]:
    return [
        (history, judge_history(history.samples, limit_bytes=limit_bytes))
        for history in reader.histories()
    ]


def _text_so_far(reader: LogReader, limit_bytes: int | None) -> str:
    judged = _judged(reader, limit_bytes)
    seen = _text(reader, judged) if judged else "No measurement yet."
    return f"{seen}\n\nCtrl-C ends this with the verdict."


def _text(reader: LogReader, judged: list[tuple[History, Trend]]) -> str:
    """Return the verdicts, leaks first, with charts if a terminal can show them."""
    judged = sorted(judged, key=lambda pair: pair[1].kind not in GUILTY)
    width = min(shutil.get_terminal_size().columns or _WIDEST, _WIDEST)
    charts = {
        history.name: draw_chart(history.samples, width=width)
        for history, trend in judged
        if _draws(sys.stdout) and (len(judged) == 1 or trend.kind in GUILTY)
    }
    return render_verdicts(
        judged,
        reader.ignored,
        charts=charts,
        color=wants_color(_is_terminal(sys.stdout), os.environ),
        width=width,
    )


def _draws(stream: object) -> bool:
    """Return whether a stream is a terminal whose encoding has the signs of charts."""
    encoding = str(getattr(stream, "encoding", None))
    return _is_terminal(stream) and encoding.lower().replace("-", "") == "utf8"


def _nothing_in(name: str, reader: LogReader) -> str:
    ignored = reader.ignored
    if not ignored.lines:
        return f"{name} holds no measurement: it should be {_FORMS}"
    line, text = ignored.examples[0]
    return (
        f"{name} holds no measurement: line {line} ({plain(text)}) is none of {_FORMS}"
    )
