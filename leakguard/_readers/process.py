"""Counters of this process, each cheap enough for every look; absent is ``None``."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading of the process.

    ``heap_bytes`` is what the C library's malloc has handed out (small and mapped
    chunks together, psutil >= 7.2); it does not see pymalloc's arenas.
    """

    rss_bytes: int | None
    heap_bytes: int | None
    python_blocks: int
    threads: int
    open_files: int | None


def read_counters() -> Counters:
    """Read the counters. Cost: about 0.1 ms."""
    return Counters(
        rss_bytes=_rss_bytes(),
        heap_bytes=_heap_bytes(),
        python_blocks=sys.getallocatedblocks(),
        threads=threading.active_count(),
        open_files=_open_files(),
    )


def available_bytes() -> int | None:
    """Return the host's available memory, or ``None`` where it cannot be read."""
    try:
        import psutil

        return int(psutil.virtual_memory().available)
    except Exception:  # noqa: BLE001 - a hidden /proc is a value here, not an error
        return None


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


def _rss_bytes() -> int | None:
    try:
        import psutil

        return int(psutil.Process().memory_info().rss)
    except Exception:  # noqa: BLE001 - as above
        return None


def _heap_bytes() -> int | None:
    try:
        import psutil

        info: Any = psutil.heap_info()
        return int(info.heap_used) + int(info.mmap_used)
    except Exception:  # noqa: BLE001 - musl, macOS and old psutil have none
        return None


def _open_files() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None
