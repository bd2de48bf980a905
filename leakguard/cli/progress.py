"""One line on a terminal that says how far a long piece of work is."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TextIO, final

if TYPE_CHECKING:
    from types import TracebackType


@final
class ProgressLine:
    """A line redrawn in place, and erased at the end.

    In a pipe, a file or without a stream it writes nothing at all.
    """

    def __init__(self, stream: TextIO | None, label: str) -> None:
        """Remember where to draw; draws nothing yet."""
        self._stream = stream if stream is not None and stream.isatty() else None
        self._label = label
        self._drawn_width = 0

    def __enter__(self) -> ProgressLine:
        """Draw the label."""
        self("")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Erase the line, so that what follows starts on a clean one."""
        if self._stream is not None and self._drawn_width:
            self._draw("")
            self._stream.write("\r")
            self._stream.flush()

    def __call__(self, text: str) -> None:
        """Show ``text`` behind the label."""
        self._draw(f"{self._label}: {text}" if text else f"{self._label} …")

    def _draw(self, line: str) -> None:
        if self._stream is None:
            return
        line = line[: shutil.get_terminal_size().columns - 1]
        # Spaces rather than an escape sequence: a dumb terminal is one, too.
        text = "\r" + line.ljust(self._drawn_width)
        encoding = self._stream.encoding or "ascii"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()
        self._drawn_width = len(line)
