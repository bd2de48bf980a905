"""A daemon thread that sleeps between its steps and can be woken to end.

It is a native thread even beside gevent, whose green threads do not run while the
program computes. Nothing that it does reaches the program: what it raises ends it,
and only its log at the level DEBUG tells.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

from leakguard._readers.process import leave_signals_to_main
from leakguard._readers.threads import native

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("leakguard")


class DaemonThread:
    """One thread, started at once; ``run`` gets it, to ``wait`` on between steps."""

    def __init__(self, run: Callable[[DaemonThread], None], name: str) -> None:
        """Start the thread.

        Raises:
            RuntimeError: there can be no more threads, or the interpreter ends.

        """
        self.stopping = False
        self._run, self._name = run, name
        self._ident: int | None = None
        self._wake, self._done = _held_lock(), _held_lock()
        self._thread: threading.Thread | None = None
        if is_green():
            native("_thread", "start_new_thread")(self._main, ())
            return
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Sleep, unless and until it is asked to end; return whether it is."""
        if not self.stopping and seconds > 0:
            self._wake.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        return self.stopping

    def wake(self) -> None:
        """End its sleep, or else the next one."""
        with contextlib.suppress(RuntimeError):  # it is awake, and will not sleep
            self._wake.release()

    def stop(self, patience_seconds: float) -> None:
        """Ask it to end, and wait for that, unless it is the thread itself that asks.

        Twice does no harm.
        """
        self.stopping = True
        self.wake()
        if self._ident == native("_thread", "get_ident")():
            return
        if self._done.acquire(timeout=patience_seconds):
            self._done.release()
            if self._thread is not None:
                self._thread.join(patience_seconds)

    def _main(self) -> None:
        self._ident = native("_thread", "get_ident")()
        try:
            leave_signals_to_main()
            self._run(self)
        except Exception as error:  # noqa: BLE001 - never the program's trouble
            _log.debug("%s has ended: %s", self._name, type(error).__name__)
        finally:
            self._done.release()


def _held_lock() -> Any:  # noqa: ANN401 - a native lock has no public type
    lock = native("_thread", "allocate_lock")()
    lock.acquire()
    return lock


def is_green() -> bool:
    """Return whether gevent has made the program's threads its own."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
