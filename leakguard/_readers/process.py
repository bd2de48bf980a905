"""Counters of this process, each cheap enough for every look; absent is ``None``.

Rules of this file: what is read at every tick costs microseconds. ``/proc/self/statm``
is kept open and read again; reopened after a fork, because an open one goes on to
speak of the parent, and when it no longer reads as it should.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_STATM = "/proc/self/statm"
_OPEN_FILES = "/proc/self/fd"
_STATM_FIELDS, _RESIDENT = 7, 1
_MOST_THREADS = 64


class Usage(NamedTuple):
    """What memory the process uses.

    ``heap_bytes`` is what the C library's malloc has handed out (small and mapped
    chunks together, psutil >= 7.2); it does not see pymalloc's arenas.
    """

    rss_bytes: int | None
    heap_bytes: int | None
    python_blocks: int


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading of the process: its ``Usage``, and what else may grow."""

    rss_bytes: int | None
    heap_bytes: int | None
    python_blocks: int
    threads: int
    open_files: int | None
    exit_callbacks: int | None = None


def read_usage() -> Usage:
    """Read what memory is used. Cost: about 5 µs on Linux."""
    return Usage(_rss_bytes(), _heap_bytes(), sys.getallocatedblocks())


def read_counters() -> Counters:
    """Read the counters. Cost: about 10 µs on Linux."""
    return Counters(
        *read_usage(), threading.active_count(), _open_files(), _exit_callbacks()
    )


def peak_rss_bytes() -> int | None:
    """Return the most that was ever resident, where the system says. Cost: 1 µs.

    Of the process or, right after ``exec``, of the one that it was before.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # getrusage(2)


def waiting_seconds(root: str = "/") -> float:
    """Return for how long this process's threads were ready and had no processor.

    The second number of ``schedstat`` (sched-stats of the kernel's documentation); a
    quota's throttling is in it. Of the first threads only; 0.0 where it is not told.
    Cost: about 20 µs per thread.
    """
    waited = 0
    try:
        tasks = os.listdir(f"{root}proc/self/task")
    except OSError:
        return 0.0
    for task in tasks[:_MOST_THREADS]:
        try:
            with open(f"{root}proc/self/task/{task}/schedstat", "rb") as file:
                waited += int(file.read().split()[1])
        except (OSError, ValueError, IndexError):  # noqa: PERF203 - it has just ended
            continue
    return waited / 1e9


def available_bytes() -> int | None:
    """Return the host's available memory, or ``None`` where it cannot be read."""
    try:
        import psutil

        return int(psutil.virtual_memory().available)
    except Exception:  # noqa: BLE001 - a hidden /proc is a value here, not an error
        return None


def most_open_files() -> int | None:
    """Return how many files this process may have open; ``None`` where no limit is."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if most == resource.RLIM_INFINITY else most


def trim_heap() -> bool:
    """Ask the C library to give free memory back; false where it cannot."""
    try:
        import psutil

        trim: Any = getattr(psutil, "heap_trim", None)
        if trim is None:
            return False
        trim()
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def read_heap() -> tuple[int, int] | None:
    """Return what the C library's malloc has handed out: in its heaps, and mapped.

    ``None`` where psutil has no ``heap_info`` (musl, psutil before 7.2).
    """
    try:
        import psutil

        info: Any = psutil.heap_info()
        return int(info.heap_used), int(info.mmap_used)
    except Exception:  # noqa: BLE001 - as above
        return None


def heap_reader() -> Callable[[], int] | None:
    """Return what reads all that malloc has handed out, in 2 µs, or ``None``."""
    if read_heap() is None:
        return None
    from psutil import heap_info

    def read() -> int:
        used = heap_info()
        return int(used.heap_used + used.mmap_used)

    return read


def collects_automatically() -> bool:
    """Return whether the application lets the cyclic collector run by itself."""
    return gc.isenabled() and gc.get_threshold()[0] > 0


def leave_signals_to_main() -> None:
    """Block all signals in this thread.

    Python runs handlers in the main thread only; a signal that the kernel gives to
    another thread would not wake it from a blocking call.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


class Statm:
    """``/proc/self/statm``, kept open: 2 µs a reading instead of 40."""

    def __init__(self, path: str = _STATM) -> None:
        """Remember the path; nothing is opened yet."""
        self._path = path
        # One tuple, replaced whole, so that threads need no lock.
        self._opened: tuple[int, int] | None = None  # process id, descriptor

    def rss_bytes(self) -> int | None:
        """Return the resident memory, or ``None`` where there is no such file."""
        opened = self._opened
        if opened is not None and opened[0] == os.getpid():
            pages = _resident_pages(opened[1])
            if pages is not None:
                return pages * os.sysconf("SC_PAGE_SIZE")
        return self._reopen()

    def _reopen(self) -> int | None:
        # What was open is not closed: after a fork, or when the application closed
        # descriptors that it did not open, its number may belong to someone else.
        self._opened = None
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except OSError:
            return None
        pages = _resident_pages(descriptor)
        if pages is None:
            os.close(descriptor)
            return None
        self._opened = (os.getpid(), descriptor)
        return pages * os.sysconf("SC_PAGE_SIZE")


def _resident_pages(descriptor: int) -> int | None:
    try:
        fields = os.pread(descriptor, 128, 0).split()
        return int(fields[_RESIDENT]) if len(fields) == _STATM_FIELDS else None
    except (OSError, ValueError):
        return None


_statm = Statm()


def _rss_bytes() -> int | None:
    known = _statm.rss_bytes()
    if known is not None:
        return known
    try:
        import psutil

        return int(psutil.Process().memory_info().rss)
    except Exception:  # noqa: BLE001 - as above
        return None


def _heap_bytes() -> int | None:
    heap = read_heap()
    return None if heap is None else sum(heap)


def _exit_callbacks() -> int | None:
    """Return how many functions are registered with ``atexit``, where it tells."""
    count: Callable[[], int] | None = getattr(atexit, "_ncallbacks", None)
    return count() if count is not None else None


def _open_files() -> int | None:
    try:
        # Since Linux 6.2 the directory's size is the number; before, it is zero.
        return os.stat(_OPEN_FILES).st_size or len(os.listdir(_OPEN_FILES)) - 1
    except OSError:
        return None
