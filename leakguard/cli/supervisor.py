"""The part of ``leakguard run`` beside the program: signals, intervals, the end.

Rules of this file: a signal handler only leaves a note; a daemon thread reads the
notes and writes the reports. Nothing that fails in here reaches the program. A
child of ``os.fork`` reports nothing and gets its signals back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from leakguard._readers.process import leave_signals_to_main

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from leakguard._core.records import Report

_REPORT, _TERMINATE, _STOP = "report", "terminate", "stop"
_JOIN_SECONDS = 10.0


class Watching(Protocol):
    """What the supervisor needs of a sampler."""

    def start(self) -> None:
        """Begin to look."""

    def stop(self) -> None:
        """Look no more."""

    def report(self) -> Report:
        """Return what is known now."""


class Supervisor:
    """Starts a sampler, and hands on its reports on a signal and every so often.

    SIGTERM, unless the program handles it, is put off until a last report is out;
    the process then dies of it as it would have.
    """

    def __init__(
        self,
        sampler: Watching,
        deliver: Callable[[Report], None],
        failed: Callable[[Exception], None],
        *,
        every_seconds: float | None = None,
        signal_number: int | None = None,
    ) -> None:
        """Remember the parts; nothing runs and no signal is touched yet."""
        self._sampler = sampler
        self._deliver = deliver
        self._failed = failed
        self._every_seconds = every_seconds
        self._signal_number = signal_number
        # put() may interrupt itself, so it is safe in a handler; Event.set() is not.
        self._notes: SimpleQueue[str] = SimpleQueue()
        self._replaced: dict[int, object] = {}
        self._pid = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the sampler and the thread, and take the signals."""
        self._pid = os.getpid()
        self._thread = threading.Thread(
            target=self._work, name="leakguard-reports", daemon=True
        )
        self._thread.start()
        self._sampler.start()
        self._take_signals()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_child_alone)

    def finish(self) -> Report | None:
        """Stop, give the signals back and return the last report.

        ``None`` in a forked child, whose parent reports.
        """
        if self._pid != os.getpid() or self._thread is None:
            return None
        self._notes.put(_STOP)
        self._thread.join(_JOIN_SECONDS)
        try:
            self._sampler.stop()
            return self._sampler.report()
        finally:  # last, for a signal that comes now would end the process
            self._give_signals_back()

    def _work(self) -> None:
        leave_signals_to_main()
        while True:
            try:
                note = self._notes.get(timeout=self._every_seconds)
            except Empty:
                note = _REPORT
            if note == _STOP:
                return
            self._report()
            if note == _TERMINATE:
                os.kill(os.getpid(), signal.SIGTERM)  # the default again: it kills

    def _report(self) -> None:
        try:
            self._deliver(self._sampler.report())
        except Exception as error:  # noqa: BLE001 - never the program's trouble
            self._failed(error)

    def _take_signals(self) -> None:
        if self._signal_number is not None:
            self._take(self._signal_number, self._on_report_signal)
        if (
            hasattr(signal, "SIGTERM")
            and self._signal_number != signal.SIGTERM
            and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        ):
            self._take(signal.SIGTERM, self._on_terminate)

    def _take(
        self, number: int, handler: Callable[[int, FrameType | None], None]
    ) -> None:
        with contextlib.suppress(ValueError):  # not the main thread
            self._replaced[number] = signal.signal(number, handler)

    def _give_signals_back(self) -> None:
        """Restore the handlers, except where the program has put its own."""
        ours = (self._on_report_signal, self._on_terminate)
        for number, previous in self._replaced.items():
            if signal.getsignal(number) in ours:
                signal.signal(number, previous or signal.SIG_DFL)  # type: ignore[arg-type]
        self._replaced.clear()

    def _leave_child_alone(self) -> None:
        with contextlib.suppress(ValueError):  # forked off the main thread
            self._give_signals_back()

    def _on_report_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._notes.put(_REPORT)

    def _on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        # Here, because only the main thread may: a second SIGTERM kills at once.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._notes.put(_TERMINATE)
