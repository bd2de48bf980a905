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
    private = _take_descriptor(real)
    sys.stdout = sys.stderr
    try:
        yield private or real or _nowhere()
    finally:
        if restore:
            _give_back(real, private)
            sys.stdout = real
        if private is not None:
            with contextlib.suppress(OSError):  # a closed pipe has been reported
                private.close()


def _take_descriptor(real: TextIO | None) -> TextIO | None:
    """Point file descriptor 1 at stderr and return a stream on what it was."""
    try:
        if real is None or real.fileno() != _STDOUT_FD:
            return None
        real.flush()
        kept = os.dup(_STDOUT_FD)
    except (OSError, ValueError):  # not a file, or closed
        return None
    try:
        os.dup2(_STDERR_FD, _STDOUT_FD)
    except OSError:  # there is no stderr
        os.close(kept)
        return None
    return os.fdopen(kept, "w", encoding=real.encoding, errors=real.errors)


def _give_back(real: TextIO | None, private: TextIO | None) -> None:
    if real is None or private is None:
        return
    with contextlib.suppress(OSError, ValueError):
        real.flush()  # what code that kept the old object wrote: still to stderr
    with contextlib.suppress(OSError):
        private.flush()
    os.dup2(private.fileno(), _STDOUT_FD)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - as stdout
