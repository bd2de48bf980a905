"""Read the control group this process lives in, and those above it.

Rules of this file: descriptors are kept open and read with ``pread``, a tenth of the
price of opening; limits are read anew every time, for they change live; what has
vanished is looked for once more; nothing raises.
"""

from __future__ import annotations

import errno
import math
import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from leakguard._core.cgroups import (
    memory_places,
    parse_count,
    parse_counts,
    parse_pressure,
    printable,
    unlimited_bytes,
)
from leakguard._core.limits import Group, Groups, make_group

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._core.cgroups import Place

#: How often to ask whether the process was moved to another group.
CHECK_SECONDS: Final = 5.0
#: How often to look at all directories anew: a first limit set live on a unit gives
#: its group files that were not there (systemd.resource-control(5)).
LOOK_SECONDS: Final = 60.0
#: How long the last values stand in for ones that cannot be read.
KEEP_SECONDS: Final = 10.0

_CHUNK_BYTES: Final = 8192
#: What will be the same at the next read: switched off (pressure), hidden, not there.
_OFF: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
_ABSENT: Final = _OFF | {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM}

_MEMBERSHIP: Final = "/proc/self/cgroup"
_MOUNTS: Final = "/proc/self/mountinfo"
#: Files by version: what limits a group, and what is used of it.
_LIMITS: Final = {
    1: {"limit": "memory.limit_in_bytes"},
    2: {"limit": "memory.max", "high": "memory.high", "swap_limit": "memory.swap.max"},
}
_USED: Final = {
    1: {"usage": "memory.usage_in_bytes", "stat": "memory.stat"},
    2: {
        "usage": "memory.current",
        "stat": "memory.stat",
        "swap": "memory.swap.current",
    },
}
#: The most that a group has used since it was made; from Linux 5.19 on in version 2.
_PEAK: Final = {1: "memory.max_usage_in_bytes", 2: "memory.peak"}


class KeptFiles:
    """Small files of the kernel's, opened once and read again and again.

    ``root`` stands for ``/``. Not for several threads at once.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")
        self._kept: dict[str, tuple[int, tuple[int, int]]] = {}
        self._absent: set[str] = set()

    def text(self, path: str) -> str:
        """Return the whole text; the empty one where there is no such file.

        Cost: about 1 us and what the kernel needs to write it.

        Raises:
            OSError: it has vanished (``ENODEV``), or no descriptor is left.

        """
        if path in self._absent:
            return ""
        try:
            return os.fsdecode(self._read(path))
        except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
            expected = _OFF if path in self._kept else _ABSENT
            if isinstance(error, OSError) and error.errno not in expected:
                raise
            self._absent.add(path)
            return ""

    def _read(self, path: str) -> bytes:
        kept = self._kept.get(path)
        if kept is None:
            descriptor = os.open(self._root + path, os.O_RDONLY)
            kept = self._kept[path] = descriptor, _identity(descriptor)
        data = os.pread(kept[0], _CHUNK_BYTES, 0)
        # Nothing says how long it is: the kernel gives these files the size 0.
        chunk = data
        while len(chunk) == _CHUNK_BYTES:
            chunk = os.pread(kept[0], _CHUNK_BYTES, len(data))
            data += chunk
        return data

    def whole(self, path: str) -> str:
        """Return the text of a file that is not kept open, or the empty one."""
        try:
            with open(self._root + path, "rb", buffering=0) as file:
                return os.fsdecode(file.read())
        except (OSError, ValueError):
            return ""

    def inode(self, path: str) -> int | None:
        """Return the number that tells this file or directory from a later one."""
        try:
            return os.stat(self._root + path).st_ino
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Close all. What is read afterwards is opened anew."""
        for descriptor, identity in self._kept.values():
            with suppress(OSError):
                # A program that becomes a daemon closes descriptors it does not know,
                # and may since have been given the number for a file of its own.
                if _identity(descriptor) == identity:
                    os.close(descriptor)
        self._kept.clear()
        self._absent.clear()

    def __del__(self) -> None:
        with suppress(Exception):  # at the end there may be no os any more
            self.close()


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


class CgroupReader:
    """The memory group of this process and those above it, up to the mount root.

    It is looked up again when the process was moved, asked every ``CHECK_SECONDS``,
    and when a file has vanished. When that fails, the last values are shown for up to
    ``KEEP_SECONDS``.
    """

    def __init__(
        self, files: KeptFiles, page_size: int, clock: Callable[[], float]
    ) -> None:
        self._files = files
        self._page_size = page_size
        self._clock = clock
        self._unlimited = {"", "max\n", f"{unlimited_bytes(page_size)}\n"}
        self._failed_reads = 0
        self._missing = self._membership = ""
        self._pressure: list[str] = []
        self.close()

    def close(self) -> None:
        """Close all files and forget what they said; a read opens them anew."""
        self._pid = os.getpid()
        self._last: tuple[Groups, float] | None = None
        self._forget()

    def _forget(self) -> None:
        self._files.close()
        self._place: Place | None = None
        self._checked_at = self._looked_at = -math.inf

    def read(self) -> Groups:
        """Return what the files say now. Cost: about 30 us, 2 us more per ancestor."""
        if os.getpid() != self._pid:
            # Descriptors that came through a fork show the parent's /proc/self.
            self.close()
        now = self._clock()
        try:
            groups = self._groups(now)
        except OSError:
            groups = self._look_again(now)
        if groups.chain:
            self._last = groups, now
            return groups
        if self._last is None or not 0 <= now - self._last[1] <= KEEP_SECONDS:
            return groups
        self._failed_reads += 1
        last, at_seconds = self._last
        return last._replace(
            stale_seconds=now - at_seconds, failed_reads=self._failed_reads
        )

    def _look_again(self, now: float) -> Groups:
        self._failed_reads += 1
        self._forget()
        try:
            return self._groups(now)
        except OSError as error:
            return Groups(
                missing=f"its files cannot be read: {error.strerror}",
                failed_reads=self._failed_reads,
            )

    def _groups(self, now: float) -> Groups:
        if not 0 <= now - self._checked_at < CHECK_SECONDS:
            self._look_up(now)
        place = self._place
        if place is None:
            return Groups(missing=self._missing, failed_reads=self._failed_reads)
        chain: list[Group] = []
        for name, directory in place.groups:
            files = self._texts(directory, _LIMITS[place.version])
            # Most ancestors limit nothing, and then their usage says nothing.
            if not chain or not self._unlimited.issuperset(files.values()):
                files |= self._texts(directory, _USED[place.version])
                chain.append(make_group(place.version, name, files, self._page_size))
        oom_kills, limit_hits = self._events(place)
        texts = filter(None, map(self._files.text, self._pressure))
        pressure = parse_pressure(next(texts, ""))
        return Groups(
            chain=tuple(chain),
            inexact=place.inexact,
            peak_usage_bytes=self._peak_bytes(place),
            oom_kills=oom_kills,
            limit_hits=limit_hits,
            pressure_some_avg10=pressure.get("some"),
            pressure_full_avg10=pressure.get("full"),
            failed_reads=self._failed_reads,
        )

    def _texts(self, directory: str, names: dict[str, str]) -> dict[str, str]:
        text = self._files.text
        return {role: text(f"{directory}/{name}") for role, name in names.items()}

    def _peak_bytes(self, place: Place) -> int | None:
        own = place.groups[0][1]
        return parse_count(self._files.text(f"{own}/{_PEAK[place.version]}"))

    def _events(self, place: Place) -> tuple[int | None, int | None]:
        """Return kills by the OOM killer, and how often the limit was run into."""
        directory = place.groups[0][1]
        if place.version == 2:
            text = self._files.text(f"{directory}/memory.events")
            counts = parse_counts(text, ("oom_kill", "max"))
            return counts.get("oom_kill"), counts.get("max")
        text = self._files.text(f"{directory}/memory.oom_control")
        hits = self._files.text(f"{directory}/memory.failcnt")
        return parse_counts(text, ("oom_kill",)).get("oom_kill"), parse_count(hits)

    def _look_up(self, now: float) -> None:
        membership = self._files.text(_MEMBERSHIP)
        self._checked_at = now
        unmoved = self._place is not None and membership == self._membership
        if unmoved and now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        self._files.close()
        self._membership = membership
        places = memory_places(self._files.whole(_MOUNTS), membership)
        visible = map(self._visible, places)
        self._place = next((place for place in visible if place.groups), None)
        self._missing = _why_missing(membership, places)
        # The machine's own stands in where the group has none.
        self._pressure = [
            *(f"{p.groups[0][1]}/memory.pressure" for p in places if p.version == 2),
            "/proc/pressure/memory",
        ]

    def _visible(self, place: Place) -> Place:
        """Leave out groups without memory files, and those that do not count us."""
        groups: list[tuple[str, str]] = []
        inexact = place.inexact
        for name, directory in place.groups:
            usage = f"{directory}/{_USED[place.version]['usage']}"
            if not self._files.whole(usage):
                # Nothing is missed where the controller is off, as in the real root.
                inexact |= self._files.inode(usage) is not None
                inexact |= self._files.inode(directory) is None
            elif groups and self._is_apart(directory):
                break
            else:
                groups.append((name, directory))
        return replace(place, groups=tuple(groups), inexact=inexact)

    def _is_apart(self, directory: str) -> bool:
        """Return whether version 1 leaves children out of this group's account."""
        return self._files.whole(f"{directory}/memory.use_hierarchy") == "0\n"


def _why_missing(membership: str, places: list[Place]) -> str:
    if not membership:
        return "no /proc/self/cgroup to read"
    if not places:
        return "no memory controller is mounted"
    return f"no memory files in {printable(places[0].groups[0][1])}"
