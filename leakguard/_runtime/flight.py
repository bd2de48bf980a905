"""Keeps the last words of a process on disk, for whoever asks after it was killed.

Rules of this file: one file for each process, replaced whole, so that there is always
a complete one; written by a thread of its own, for a disk may hang; what fails is told
once and counted. Near the end there may be no memory left: then what was set aside for
it is given up, and the record is a smaller one, or the one before stays.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from leakguard._core.flight import (
    MOST_BYTES,
    MOST_ITEMS,
    Change,
    Flight,
    Point,
    Writer,
    documents,
    message_of,
    name_of,
)
from leakguard._core.forecast import Forecast
from leakguard._core.policy_table import rank
from leakguard._readers.lives import (
    is_alive,
    read_boot,
    read_groups,
    record_files,
    this_life,
)
from leakguard._runtime.thread import DaemonThread

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from leakguard._core.samples import Sample
    from leakguard._runtime.monitor import Monitor

_log = logging.getLogger("leakguard")

TERMINATION_LOG: Final = "/dev/termination-log"
#: Records of processes that are no more, in one directory.
KEPT_RECORDS: Final = 16
#: Given up when there is no memory for a record; untouched, so never resident.
_BALLAST_BYTES: Final = 2 << 20
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_REWRITE: Final = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)


class Recorder:
    """Writes the record of this process when it is asked to.

    ``describe`` makes it: all there is to say, or with ``False`` what takes no memory.
    Without ``directory`` there is only the termination log. ``room`` is entered while
    a record is made.
    """

    def __init__(
        self,
        directory: str | None,
        describe: Callable[[bool], Flight],
        *,
        termination_log: str | None = None,
        room: Callable[[], AbstractContextManager[object]] = nullcontext,
        root: str = "/",
    ) -> None:
        """Remember the options; nothing is written yet."""
        self._directory = None if directory is None else Path(directory)
        self._describe, self._room, self._root = describe, room, root
        self._termination_log = termination_log
        self._ballast = bytes(_BALLAST_BYTES)
        self.reset()

    def reset(self) -> None:
        """Forget all, as in a forked child: the file so far is the parent's."""
        self._thread: DaemonThread | None = None
        self._last: Flight | None = None
        self._is_told = self._has_message = False
        self.failures = 0

    def start(self) -> None:
        """Clear away what is old, write the first record, and wait to be asked.

        Cost: some milliseconds, most of them for the disk.
        """
        self._try(self._prepare)
        self._write()
        self.run()

    def run(self) -> None:
        """Start the thread alone; without one nothing is recorded but the end."""
        with suppress(RuntimeError):
            self._thread = DaemonThread(self._loop, "leakguard-recorder")

    def ask(self) -> None:
        """Have a record written soon. Cost: below 1 µs."""
        if self._thread is not None:
            self._thread.wake()

    def stop(self, patience_seconds: float) -> None:
        """Write that the process ends by itself, and wait a little for it."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop(patience_seconds)
        else:
            self._end()

    def _loop(self, thread: DaemonThread) -> None:
        while not thread.wait(threading.TIMEOUT_MAX):
            self._write()
        self._end()

    def _write(self) -> None:
        try:
            self._record(is_whole=True)
        except MemoryError:
            self._ballast = b""
            self._try(lambda: self._record(is_whole=False))
            with suppress(MemoryError):
                self._ballast = bytes(_BALLAST_BYTES)
        except Exception as error:  # noqa: BLE001 - never the program's trouble
            self._failed(error)

    def _end(self) -> None:
        last = self._last
        if last is not None:  # a forked child that never had a record leaves none
            ended = replace(last, ended="clean")
            self._try(lambda: self._save(last.writer, _encoded(ended)))
            self._try(lambda: self._tell(None))

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)

    def _record(self, *, is_whole: bool) -> None:
        with self._room():  # and not for as long as the disk may hang
            flight = self._describe(is_whole)
            data = _encoded(flight)
        self._save(flight.writer, data)
        self._last = flight
        self._tell(flight)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if not self._is_told:
            self._is_told = True
            why = getattr(error, "strerror", None) or type(error).__name__
            where = getattr(error, "filename", None) or self._directory
            _log.warning("a flight record could not be written: %s (%s)", why, where)

    def _prepare(self) -> None:
        """Make the directory, and remove the oldest of what others left in it."""
        if self._directory is None:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        boot, left = read_boot(self._root), []
        for name, writer in record_files(str(self._directory)):
            if not is_alive(writer, boot, self._root):
                path = self._directory / name
                with suppress(OSError):  # a sibling may have removed it
                    age = path.lstat().st_mtime if name.endswith(".json") else 0.0
                    left.append((age, path))
        newest = sorted(left, reverse=True)[:KEPT_RECORDS]
        for age, path in left:
            if not age or (age, path) not in newest:
                path.unlink(missing_ok=True)

    def _save(self, writer: Writer, data: bytes) -> None:
        if self._directory is None:
            return
        path = self._directory / name_of(writer)
        partial = path.with_suffix(".json.tmp")
        try:
            descriptor = os.open(partial, _CREATE, 0o600)
        except FileExistsError:  # left by a failure, or planted
            partial.unlink()
            descriptor = os.open(partial, _CREATE, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise

    def _tell(self, flight: Flight | None) -> None:
        """Leave a message while the pressure is high, and none afterwards."""
        if self._termination_log is None:
            return
        is_high = flight is not None and rank(flight.level) >= rank("high")
        if is_high or self._has_message:
            message = message_of(flight) if flight is not None and is_high else b""
            _rewrite(self._termination_log, message)
            self._has_message = is_high


def recorder_of(monitor: Monitor) -> Recorder:
    """Return the recorder that a monitor's options ask for."""
    options = monitor.options
    return Recorder(
        options.flight_record,
        lambda is_whole: describe(monitor, is_whole=is_whole),
        termination_log=TERMINATION_LOG if options.termination_log else None,
        room=monitor.heap.raised,
    )


def describe(monitor: Monitor, *, is_whole: bool = True) -> Flight:
    """Return what is known of this process now. Cost: as ``Monitor.report``."""
    now, state = time.monotonic(), monitor.watcher.state
    samples = monitor.watcher.series.samples() if is_whole else ()
    changes = [
        Change(now - change.at_seconds, change.level, change.reason)
        for change in monitor.protection.counters(0).last_transitions
    ]
    # The last half minute row by row, and of what was before so many rows again.
    half = MOST_ITEMS // 2
    before, lately = samples[:-half], samples[-half:]
    shown = (*before[:: len(before) // half + 1], *lately)
    used = [(now - sample.t_seconds, _used_bytes(sample)) for sample in shown]
    points = [Point(ago, size) for ago, size in used if size is not None]
    unknown = Forecast(None, None, None, "the memory has not been watched for long")
    return Flight(
        at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        up_seconds=now,
        writer=this_life(),
        level=monitor.protection.level,
        pressure=state.pressure,
        forecast=state.trend.forecast if state.trend is not None else unknown,
        groups=read_groups(),
        history=tuple(points),
        changes=tuple(changes),
        report=monitor.report() if is_whole else None,
    )


def _used_bytes(sample: Sample) -> int | None:
    if sample.unreclaimable_bytes is None:
        return sample.rss_bytes
    return sample.unreclaimable_bytes


def _encoded(flight: Flight) -> bytes:
    data = b""
    for document in documents(flight):
        data = json.dumps(document, allow_nan=False).encode()
        if len(data) <= MOST_BYTES:
            break
    return data


def _rewrite(path: str, message: bytes) -> None:
    """Write over a file that is there; it may be mounted, so it is not replaced."""
    descriptor = os.open(path, _REWRITE | _NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, message)
    finally:
        os.close(descriptor)
