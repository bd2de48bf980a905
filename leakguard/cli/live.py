"""A text that is drawn again on a terminal while its input still grows."""

from __future__ import annotations

import select
import shutil
import time
from typing import TYPE_CHECKING, BinaryIO, TextIO, final

from leakguard.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_TOP, _ERASE_LINE, _ERASE_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
#: Least time between two drawings, and how much longer than a drawing it is.
_LEAST_SECONDS, _REST = 0.5, 10
_FREE_LINES = 2
_UNKNOWN_ROWS = 24


@final
class LiveScreen:
    """Draws at the top of the terminal; cleared at the end.

    A drawing waits for a moment in which ``source`` has nothing more to read, and at
    most half a second for that; none costs more than a tenth of the time.
    """

    def __init__(
        self,
        stream: TextIO,
        source: BinaryIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember where to draw; draws nothing yet."""
        self._stream = stream
        self._source = source
        self._clock = clock
        self._due = clock()

    def __enter__(self) -> LiveScreen:
        """Clear the screen."""
        output.emit(_TOP + _ERASE_BELOW, self._stream)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Clear the screen for what follows."""
        self._stream.write(_TOP + _ERASE_BELOW)
        self._stream.flush()

    def offer(self, make_text: Callable[[], str]) -> None:
        """Draw the text, or leave it out when more is about to come."""
        wait_seconds = self._due - self._clock()
        if wait_seconds > 0 and self._has_more(wait_seconds):
            return
        begun = self._clock()
        rows = shutil.get_terminal_size().lines or _UNKNOWN_ROWS  # 0 before 3.11
        lines = make_text().splitlines()[: max(rows - _FREE_LINES, 1)]
        drawn = "".join(f"{line}{_ERASE_LINE}\n" for line in lines)
        output.emit(_TOP + drawn + _ERASE_BELOW, self._stream)
        ended = self._clock()
        self._due = ended + max(_LEAST_SECONDS, _REST * (ended - begun))

    def _has_more(self, wait_seconds: float) -> bool:
        try:
            return bool(select.select([self._source], [], [], wait_seconds)[0])
        except (OSError, ValueError):  # not a file, or a pipe on Windows
            return True
