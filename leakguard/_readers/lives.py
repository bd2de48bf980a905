"""What tells one life of a program from another, and what is left of those before.

Rules of this file: ``root`` stands for ``/``; what cannot be read is ``None``, or a
reason; files of records are others' to plant, so no link is followed, nothing but a
plain file is read, and not more of it than a record can have.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

from leakguard._core.cgroups import memory_places, parse_counts
from leakguard._core.flight import MOST_BYTES, Group, Writer, writer_of
from leakguard._core.records import Unknown
from leakguard._readers.cgroup import KeptFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
#: Fields of ``/proc/<pid>/stat`` behind the name: state, and ticks at the start
#: (proc(5), the third and the 22nd).
_STATE, _STARTED = 0, 19
_ENDED_STATES: Final = "ZXx"
_KILLS: Final = {1: "memory.oom_control", 2: "memory.events"}
_READ_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
)
#: More files than this in one directory are not looked at.
_MOST_FILES: Final = 10_000


def read_boot(root: str = "/") -> str | None:
    """Return the first digits of what the kernel calls this start of the machine."""
    found = re.match(r"[0-9a-f]{8}", KeptFiles(root).whole(_BOOT_ID))
    return found.group() if found else None


def started_of(pid: int, root: str = "/") -> int | None:
    """Return when a process was started, in ticks; ``None`` if it is no more.

    Where there is no ``/proc``, hundredths of seconds as psutil tells.
    """
    text = KeptFiles(root).whole(f"/proc/{pid}/stat")
    fields = text.rpartition(")")[2].split()  # the name may hold anything
    if len(fields) > _STARTED:
        if fields[_STATE] in _ENDED_STATES or not fields[_STARTED].isdecimal():
            return None
        return int(fields[_STARTED])
    if os.path.isdir(f"{root.rstrip('/')}/proc/self"):
        return None
    try:
        import psutil

        return int(psutil.Process(pid).create_time() * 100)
    except Exception:  # noqa: BLE001 - a hidden process is a value here, not an error
        return None


def this_life(root: str = "/") -> Writer:
    """Return what tells this process from all others. Cost: about 100 µs."""
    pid = os.getpid()
    return Writer(pid, started_of(pid, root), read_boot(root))


def is_alive(writer: Writer, boot: str | None, root: str = "/") -> bool:
    """Return whether this very process runs; another one of its number does not."""
    if writer.started is None or writer.boot != boot:
        return False
    return started_of(writer.pid, root) == writer.started


def read_groups(root: str = "/") -> tuple[Group, ...]:
    """Return the kills in the memory groups of this process, its own first.

    Version 1 counts a kill in the victim's group only, so there it is the only one.
    """
    files = KeptFiles(root)
    membership = files.whole("/proc/self/cgroup")
    for place in memory_places(files.whole("/proc/self/mountinfo"), membership):
        groups = place.groups[:1] if place.version == 1 else place.groups
        found = []
        for _, directory in groups:
            text = files.whole(f"{directory}/{_KILLS[place.version]}")
            kills = parse_counts(text, ("oom_kill",)).get("oom_kill")
            inode = files.inode(directory)
            if kills is not None and inode is not None:
                found.append(Group(inode, kills))
        if found:
            return tuple(found)
    return ()


def record_files(directory: str) -> Iterator[tuple[str, Writer]]:
    """Yield the names of records, finished or not, with whose they are.

    Raises:
        OSError: the directory cannot be read.

    """
    with os.scandir(directory) as entries:
        for _, entry in zip(range(_MOST_FILES), entries):  # noqa: B905 - ends early
            writer = writer_of(entry.name)
            if writer is not None:
                yield entry.name, writer


def read_record(path: str) -> bytes | Unknown:
    """Return what a record's file holds, or why it is none."""
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except (OSError, ValueError) as error:
        return Unknown(f"{os.path.basename(path)}: {_why(error)}")
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Unknown(f"{os.path.basename(path)}: not a plain file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        return Unknown(f"{os.path.basename(path)}: {_why(error)}")
    finally:
        os.close(descriptor)
    if len(data) > MOST_BYTES:
        return Unknown(f"{os.path.basename(path)}: longer than any record")
    return data


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
