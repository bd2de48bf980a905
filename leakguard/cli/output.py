"""Where reports go: onto a stream as text, or into a file, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TextIO

from leakguard._core.records import GUILTY, LeakguardError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._core.records import Report

#: What the end of a file's name says about its format.
FORMAT_OF_SUFFIX: Final[Mapping[str, str]] = MappingProxyType(
    {".json": "json", "": "json", ".txt": "text", ".md": "markdown"}
)
#: Text beyond this width is hard to read, however wide the terminal.
_WIDEST = 100


def is_leak(report: Report) -> bool:
    """Return whether the report says that a leak was found."""
    return report.verdict.kind in GUILTY


def destination(text: str) -> Path:
    """Return the absolute path of ``--output FILE`` once it can be written to.

    Found out before the work, not after it. Absolute, because a program may change
    its directory.

    Raises:
        LeakguardError: an unknown suffix, a directory, or a missing directory.

    """
    path = Path(text).absolute()
    if path.suffix.lower() not in FORMAT_OF_SUFFIX:
        known = ", ".join(filter(None, FORMAT_OF_SUFFIX))
        raise LeakguardError(f"cannot write {text}: the name has to end in {known}")
    if path.is_dir():
        raise LeakguardError(f"cannot write {text}: it is a directory")
    if not path.parent.is_dir():
        raise LeakguardError(f"cannot write {text}: no directory {path.parent}")
    writable = path if path.exists() and not path.is_file() else path.parent
    if not os.access(writable, os.W_OK):
        raise LeakguardError(f"cannot write {text}: permission denied")
    return path


def save(report: Report, path: Path) -> None:
    """Write the report in the format its name asks for; readers never see half.

    Raises:
        LeakguardError: the file could not be written.

    """
    from leakguard import reports

    text = reports.render(report, FORMAT_OF_SUFFIX[path.suffix.lower()])
    try:
        _replace(Path(os.path.realpath(path)), text + "\n")
    except OSError as error:
        raise LeakguardError(f"cannot write {path}: {error.strerror}") from error


def show(report: Report, stream: TextIO | None, *, verbose: bool = False) -> None:
    """Write the report as text, coloured and as wide as the terminal allows."""
    from leakguard._render.text import render_text

    text = render_text(
        report,
        color=is_colored(stream),
        width=min(shutil.get_terminal_size().columns, _WIDEST),
        verbose=verbose,
        cwd=working_directory(),
    )
    emit(text, stream)


def is_colored(stream: TextIO | None) -> bool:
    """Return whether text on this stream is to be coloured."""
    from leakguard._render.style import wants_color

    return wants_color(stream is not None and stream.isatty(), os.environ)


def show_json(report: Report, stream: TextIO | None) -> None:
    """Write the report as its JSON document."""
    from leakguard import reports

    emit(reports.render(report, "json"), stream)


def emit(text: str, stream: TextIO | None) -> None:
    """Write a text and a final newline; what the encoding lacks becomes ``?``.

    Without a stream (a process may have been started so) it goes nowhere.
    """
    if stream is None:
        return
    if not text.endswith("\n"):
        text += "\n"
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def working_directory() -> str | None:
    """Return where we are, unless it has been removed."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _replace(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():  # a device or a pipe has no "half"
        path.write_text(text, encoding="utf-8")
        return
    # Opened by name, not by mkstemp, so that the umask decides who may read it.
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with half.open("w", encoding="utf-8") as stream:
            stream.write(text)
        half.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            half.unlink()
        raise
