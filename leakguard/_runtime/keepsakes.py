"""What a test runner keeps of every call: log records, warnings, captured output.

A body that is called a thousand times within one test leaves a thousand of each, by
no fault of its own. Rules of this file: only what was added is dropped, so the test
finds what it had before; a runner that works in another way is left alone.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Keepsakes:
    """The lengths of the runner's records when it was made."""

    def __init__(self) -> None:
        """Note the lengths; drops nothing. Cost: a few µs."""
        self._marks = [*_lists(), *_streams()]

    def forget(self) -> None:
        """Drop what has been added since."""
        for cut in self._marks:
            with contextlib.suppress(Exception):  # closed, replaced: not our trouble
                cut()


def _lists() -> Iterator[Callable[[], None]]:
    """Yield how to shorten the records of pytest's log handlers and of warnings."""
    for handler in logging.getLogger().handlers:
        kept = getattr(handler, "records", None)
        if type(handler).__module__.startswith("_pytest.") and isinstance(kept, list):
            yield _cut_records(handler, len(kept))
            yield from _cut_stream(getattr(handler, "stream", None))
    # catch_warnings(record=True) has its list's append here
    recorded = getattr(getattr(warnings, "_showwarnmsg_impl", None), "__self__", None)
    if isinstance(recorded, list):
        yield _cut_list(recorded, len(recorded))


def _streams() -> Iterator[Callable[[], None]]:
    for stream in (sys.stdout, sys.stderr):
        yield from _cut_stream(stream)


def _cut_records(handler: Any, mark: int) -> Callable[[], None]:  # noqa: ANN401 - pytest's
    def cut() -> None:
        del handler.records[mark:]  # another list after ``caplog.clear()``

    return cut


def _cut_list(kept: list[Any], mark: int) -> Callable[[], None]:
    def cut() -> None:
        del kept[mark:]

    return cut


def _cut_stream(stream: object) -> Iterator[Callable[[], None]]:
    """Yield how to shorten a stream in memory: a ``StringIO``, or pytest's own."""
    target = getattr(stream, "buffer", stream)
    if not isinstance(target, (io.BytesIO, io.StringIO)):
        return
    with contextlib.suppress(Exception):
        if target is not stream:
            stream.flush()  # type: ignore[attr-defined]
        mark = target.tell()

        def cut() -> None:
            if target is not stream:
                stream.flush()  # type: ignore[attr-defined]
            target.seek(mark)
            target.truncate()

        yield cut
