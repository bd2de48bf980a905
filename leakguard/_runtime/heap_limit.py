"""A limit on what the process itself holds, and the kernel's help to keep it.

Rules of this file: the soft limit is one more ratio of pressure. The hard one has the
kernel refuse memory, so that what asked for it fails, with a ``MemoryError``, and not
the process; it follows, tick by tick, what is mapped and never touched. What was in
force before is put back. No lock is held while anything but the limit is set.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from leakguard._core.pressure import Pressure
from leakguard._core.records import Unknown
from leakguard._core.units import format_bytes
from leakguard._readers.rlimits import DataLimit, Own, read_own, why_no_data_limit
from leakguard._readers.threads import native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger("leakguard")

SOURCE: Final = "the heap limit given to the guard"
#: What may be used on top while an error is handled, or leakguard is at work.
RESERVE_BYTES: Final = 32 << 20


class HeapLimit:
    """The heap limit of a process, for any thread."""

    def __init__(
        self,
        limit_bytes: int | None,
        *,
        hard: bool = False,
        read: Callable[[], Own | Unknown] = read_own,
        rlimit: DataLimit | None = None,
        why_not: Callable[[], str] = why_no_data_limit,
    ) -> None:
        """Remember the options; nothing is read or set yet. ``None`` is no limit."""
        self._limit_bytes, self._hard = limit_bytes or 1, hard and bool(limit_bytes)
        self._read, self._why_not = read, why_not
        self._rlimit = rlimit if rlimit is not None else DataLimit()
        self._before: tuple[int | None, int | None] = None, None
        self._allowed_bytes = self._set_bytes = 0
        self.in_force = False
        self.reset()

    def rlimits(self) -> tuple[str, ...]:
        """Return the names of the kernel's limits that are set here."""
        return ("DATA",) if self.in_force else ()

    def reset(self) -> None:
        """Begin anew in a forked child: the kernel's limit came along."""
        self._lock = native("_thread", "allocate_lock")()
        self._users = 0

    def start(self) -> None:
        """Have the kernel keep the limit from now on, if that was asked for."""
        if not self._hard or self.in_force:
            return
        own, why_not = self._read(), self._why_not()
        if isinstance(own, Unknown) or own.data_bytes is None:
            why_not = why_not or getattr(own, "reason", "unsupported: no /proc")
        elif own.own_bytes >= self._limit_bytes:
            held, most = format_bytes(own.own_bytes), format_bytes(self._limit_bytes)
            why_not = why_not or f"{held} are in use already, and the limit is {most}"
        try:
            if not why_not:
                self._before = self._rlimit.read()
                self.in_force = True
                self.look()
        except (OSError, ValueError, ImportError) as error:
            self.in_force, why_not = False, f"unsupported: {error}"
        if why_not:
            _log.warning("there is no hard heap limit: %s", why_not)

    def stop(self) -> None:
        """Put back what was in force before, unless someone else has set it since."""
        with self._lock, suppress(OSError, ValueError):
            if self.in_force and self._rlimit.read()[0] == self._set_bytes:
                self._rlimit.write(self._before[0])
        self.in_force = False

    def look(self) -> Pressure:
        """Return how near the limit is; let the kernel's follow. Cost: about 35 µs."""
        own = self._read()
        if isinstance(own, Unknown):
            return Pressure(None, None, self._limit_bytes, own.reason)
        if self.in_force and own.data_bytes is not None:
            # What is mapped and was never touched counts for the kernel alone.
            untouched_bytes = max(0, own.data_bytes - own.own_bytes)
            self._allowed_bytes = self._limit_bytes + untouched_bytes
            self._apply()
        ratio = own.own_bytes / self._limit_bytes
        return Pressure(ratio, own.own_bytes, self._limit_bytes, SOURCE)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Allow some more memory within the ``with`` statement. Cost: about 5 µs."""
        if not self.in_force:
            yield
            return
        self._use(1)
        try:
            yield
        finally:
            self._use(-1)

    def _use(self, users: int) -> None:
        with self._lock:
            self._users = max(0, self._users + users)
        with suppress(OSError, ValueError):  # a limit that someone else lowered
            self._apply()

    def _apply(self) -> None:
        with self._lock:
            if not self.in_force:
                return
            wanted = self._allowed_bytes + (RESERVE_BYTES if self._users else 0)
            known = (wanted, *self._before)
            self._set_bytes = min(size for size in known if size is not None)
            self._rlimit.write(self._set_bytes)
