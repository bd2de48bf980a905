"""Load a saved report and render it: no live process is needed for either.

Rules of this file: one table of formats, and one sentence for whatever is wrong
with a file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from leakguard._core.records import LeakguardError
from leakguard._render.document import dumps, loads
from leakguard._render.dot import render_dot
from leakguard._render.markdown import render_markdown
from leakguard._render.style import plain
from leakguard._render.text import render_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from leakguard._core.records import Report

    _R = TypeVar("_R")

#: Name of a format -> its renderer. None of them ends its text with a newline.
FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": render_text,
    "json": dumps,
    "markdown": render_markdown,
    "dot": render_dot,
}

#: A report is some kilobytes; a file beyond this is something else.
_MOST_BYTES = 64 << 20


def load(path_or_file: str | os.PathLike[str] | IO[str] | IO[bytes]) -> Report:
    """Return the report saved as JSON in a file, given by path or opened.

    Raises:
        LeakguardError: the file cannot be read, or holds no (complete) report.

    """
    name = _name(path_or_file)
    try:
        return loads(_content(path_or_file))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise LeakguardError(f"{name}: {reason}") from error
    except LeakguardError as error:
        raise LeakguardError(f"{name}: {error}") from None
    except ValueError as error:  # undecodable text, a closed file, NUL in a path
        raise LeakguardError(f"{name}: it cannot be read as text") from error


def _name(path_or_file: object) -> str:
    if isinstance(path_or_file, (str, os.PathLike)):
        return plain(os.fsdecode(path_or_file))
    return plain(str(getattr(path_or_file, "name", "the report")))


def _content(path_or_file: str | os.PathLike[str] | IO[str] | IO[bytes]) -> str | bytes:
    if isinstance(path_or_file, (str, os.PathLike)):
        with Path(path_or_file).open("rb") as file:
            return _content(file)
    content = path_or_file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise LeakguardError(f"more than {_MOST_BYTES >> 20} MiB is not a report")
    return content


def render(report: Report, format: str = "text") -> str:  # noqa: A002
    """Return the report as ``"text"``, ``"json"``, ``"markdown"`` or ``"dot"``.

    Raises:
        LeakguardError: an unknown format; the sentence names those there are.

    """
    return renderer_of(FORMATS, format)(report)


def renderer_of(
    formats: Mapping[str, Callable[[_R], str]], name: str
) -> Callable[[_R], str]:
    """Return the renderer of a format.

    Raises:
        LeakguardError: there is none; the sentence names those there are.

    """
    renderer = formats.get(name)
    if renderer is None:
        known = ", ".join(formats)
        raise LeakguardError(f"unknown format {name!a}: the formats are {known}")
    return renderer
