"""What limits this process and what is used of it: groups, rlimits, the machine.

Rules of this file: what a system does not have is a value that says so, never an
exception; ``root`` stands for ``/`` in every path.
"""

from __future__ import annotations

import mmap
import time
from typing import TYPE_CHECKING

from leakguard._core.cgroups import parse_count, parse_counts
from leakguard._core.limits import Host, Level, judge_limits
from leakguard._readers.cgroup import CgroupReader, KeptFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._core.samples import Reading

_KIB = 1024
_STATM = "/proc/self/statm"


class MemoryReader:
    """Reads limits and usage, again and again, for one thread.

    It keeps some ten descriptors open and is safe to use on after a fork. ``clock``
    gives monotonic seconds, ``ignores`` the rlimits that are leakguard's own.
    """

    def __init__(
        self,
        root: str = "/",
        *,
        clock: Callable[[], float] = time.monotonic,
        page_size: int = mmap.PAGESIZE,
        ignores: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self._ignores = ignores
        self._files = KeptFiles(root)
        self._cgroup = CgroupReader(self._files, page_size, clock)
        self._page_size = page_size

    def read(self) -> Reading:
        """Return what is in force and used now; never raises. Cost: about 60 us."""
        groups = self._cgroup.read()  # first: it closes what came through a fork
        try:
            host = _host(self._files)
            rlimits = _rlimits(self._files, self._page_size, self._ignores())
        except OSError:  # no descriptor is left
            host, rlimits = Host(), []
        return judge_limits(groups, host, rlimits)

    def close(self) -> None:
        """Close the descriptors. A read afterwards opens them anew."""
        self._cgroup.close()


def _host(files: KeptFiles) -> Host:
    keys = ("MemTotal:", "MemAvailable:", "SwapFree:")
    counts = parse_counts(files.text("/proc/meminfo"), keys)
    if "MemTotal:" not in counts:
        return _host_of_psutil()
    total, available, swap_free = map(counts.get, keys)
    return Host(
        *(None if kib is None else kib * _KIB for kib in (total, available, swap_free))
    )


def _host_of_psutil() -> Host:
    try:
        import psutil

        memory = psutil.virtual_memory()
        return Host(int(memory.total), int(memory.available))
    except Exception:  # noqa: BLE001 - a hidden /proc is a value here, not an error
        return Host()


def _rlimits(
    files: KeptFiles, page_size: int, ignored: tuple[str, ...] = ()
) -> list[Level]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    levels = []
    # proc(5): statm counts pages, first those of all addresses, sixth those of data.
    for name, field in (("DATA", 5), ("AS", 0)):
        which = getattr(resource, f"RLIMIT_{name}", None)
        limit = (
            resource.RLIM_INFINITY if which is None else resource.getrlimit(which)[0]
        )
        if limit != resource.RLIM_INFINITY and name not in ignored:
            pages = parse_count("".join(files.text(_STATM).split()[field : field + 1]))
            used = None if pages is None else pages * page_size
            levels.append(Level(limit, f"rlimit {name.lower()}", used))
    return levels
