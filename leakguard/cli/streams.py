"""Keeps stdout for the report: what the diagnosed code prints goes to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDOUT_FD, _STDERR_FD = 1, 2


@contextlib.contextmanager
def reserved_stdout(*, restore: bool) -> Iterator[TextIO]:
    """Send stdout to stderr, for Python, C and child processes; yield the real one.

    With ``restore`` false it stays so afterwards, for threads and exit handlers that
    still print: right for a process that is about to end.
    """
    real = sys.stdout
    with contextlib.suppress(OSError, ValueError, AttributeError):
        real.flush()
    kept = _divert()
    private = _stream_on(kept, real)
    sys.stdout = sys.stderr
    try:
        yield private or real or _nowhere()
    finally:
        if restore:
            _give_back(kept, (real, private))
            sys.stdout = real
        if private is not None:
            with contextlib.suppress(OSError):  # a closed pipe has been reported
                private.close()
        elif kept is not None:
            os.close(kept)


def _divert() -> int | None:
    """Point file descriptor 1 at stderr; return a descriptor of what it was."""
    try:
        kept = os.dup(_STDOUT_FD)
    except OSError:  # closed
        return None
    try:
        os.dup2(_STDERR_FD, _STDOUT_FD)
    except OSError:  # there is no stderr
        os.close(kept)
        return None
    return kept


def _stream_on(kept: int | None, real: TextIO | None) -> TextIO | None:
    """Return a stream on the kept descriptor, if it is the one ``real`` wrote to."""
    try:
        if kept is None or real is None or real.fileno() != _STDOUT_FD:
            return None
    except (OSError, ValueError):  # not a file, or closed
        return None
    return os.fdopen(kept, "w", encoding=real.encoding, errors=real.errors)


def _give_back(kept: int | None, streams: tuple[TextIO | None, ...]) -> None:
    for stream in streams:
        # What code wrote to an object that it had kept, too, still goes to stderr.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    if kept is not None:
        os.dup2(kept, _STDOUT_FD)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - as stdout
