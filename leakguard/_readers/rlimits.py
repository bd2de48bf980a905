"""The kernel's limit on this process's data, and what counts against it.

Rules of this file: ``root`` stands for ``/``; where there is no such limit, or it
means something else, that is a value with the reason.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import NamedTuple

from leakguard._core.cgroups import parse_count
from leakguard._core.records import Unknown
from leakguard._readers.cgroup import KeptFiles

_STATM = "/proc/self/statm"
#: proc(5): pages that are resident, shared with files or others, and of data.
_RESIDENT, _SHARED, _DATA = 1, 2, 5
#: Since Linux 4.7 private mappings count, and not only the heap (setrlimit(2)).
_FIRST_LINUX = (4, 7)


class Own(NamedTuple):
    """What this process holds for itself, in memory and in addresses.

    ``own_bytes`` is resident memory less file and shared mappings. ``data_bytes`` are
    all addresses that it may write to and shares with nobody, also those never touched
    such as most of a thread's stack: what ``RLIMIT_DATA`` counts, and the main stack.
    """

    own_bytes: int
    data_bytes: int | None


def read_own(root: str = "/", page_size: int = mmap.PAGESIZE) -> Own | Unknown:
    """Return what this process holds. Cost: about 30 µs."""
    fields = KeptFiles(root).whole(_STATM).split()
    pages = [parse_count(field) for field in fields]
    if len(pages) > _DATA:
        resident, shared, data = pages[_RESIDENT], pages[_SHARED], pages[_DATA]
        if resident is not None and shared is not None and data is not None:
            return Own(max(0, resident - shared) * page_size, data * page_size)
    try:
        import psutil

        return Own(int(psutil.Process().memory_info().rss), None)
    except Exception as error:  # noqa: BLE001 - a hidden /proc is a value here
        return Unknown(f"unsupported: no {_STATM} to read, and {type(error).__name__}")


def why_no_data_limit(system: str = sys.platform, release: str | None = None) -> str:
    """Return why ``RLIMIT_DATA`` is of no use here, or the empty text."""
    if system != "linux":
        return f"unsupported: a limit on data does not count all of it on {system}"
    release = release if release is not None else os.uname().release
    numbers = [parse_count(part) for part in release.partition("-")[0].split(".")[:2]]
    known = [number for number in numbers if number is not None]
    if known and tuple(known) < _FIRST_LINUX:
        return f"unsupported: Linux {release} does not count all data"
    return ""


class DataLimit:
    """``RLIMIT_DATA`` of this process; ``None`` is no limit."""

    def read(self) -> tuple[int | None, int | None]:
        """Return the limit in force, and how far it may be raised."""
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        return _bytes(soft), _bytes(hard)

    def write(self, limit_bytes: int | None) -> None:
        """Set the limit in force. Cost: about 1 µs.

        Raises:
            OSError, ValueError: the system does not allow it.

        """
        import resource

        soft = resource.RLIM_INFINITY if limit_bytes is None else limit_bytes
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _bytes(limit: int) -> int | None:
    import resource

    return None if limit == resource.RLIM_INFINITY else limit
