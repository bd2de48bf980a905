"""What the kernel's files say of control groups, read from their text.

Rules of this file: no line, however broken, raises; what cannot be read is absent.
Formats: proc(5) for mountinfo, cgroups(7) for ``/proc/self/cgroup``, the kernel's
``cgroup-v1/memory.rst``, ``cgroup-v2.rst`` and ``accounting/psi.rst`` for the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_OCTAL: Final = re.compile(r"\\([0-3][0-7]{2})")
_AVG10: Final = re.compile(
    r"^(some|full) avg10=([0-9]{1,3}\.[0-9]{1,6}) ", re.MULTILINE
)
#: No count of the kernel's is longer: 2**64 - 1 has 20 digits.
_MOST_DIGITS: Final = 20
_LONG_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted hierarchy: ``root`` is the group that is seen at ``mount_point``.

    ``controllers`` are the super options of a version 1 mount, joined ones included.
    """

    version: int
    root: str
    mount_point: str
    controllers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process's group may be found.

    ``groups`` are (name, directory) pairs, from the group itself up to the mount
    root. ``inexact``: the group itself lies out of sight, the first one stands for it.
    """

    version: int
    groups: tuple[tuple[str, str], ...]
    inexact: bool


def parse_mounts(mountinfo: str) -> list[Mount]:
    """Return the cgroup mounts in the text of ``/proc/<pid>/mountinfo``.

    Of two mounts on one directory the later one hides the earlier.
    """
    found = {}
    for line in mountinfo.split("\n"):
        # Optional fields, none or several, end at the lone dash.
        left, _, right = line.partition(" - ")
        fields, source = left.split(" "), right.split(" ", 2)
        if len(fields) < 6 or len(source) < 3 or source[0] not in ("cgroup", "cgroup2"):
            continue
        root, mount_point = _unescape(fields[3]), _unescape(fields[4])
        version = 2 if source[0] == "cgroup2" else 1
        options = frozenset(source[2].split(","))
        found[mount_point] = Mount(version, root, mount_point, options)
    return list(found.values())


def _unescape(path: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), path)


def printable(path: str) -> str:
    """Return the path as one line that every terminal and file can hold."""
    return path if path.isprintable() else ascii(path)[1:-1]


def parse_membership(text: str) -> dict[str, str]:
    """Return the group's path by controller (``""``: version 2), of any length.

    ``text`` is that of ``/proc/<pid>/cgroup``; a path may contain colons.
    """
    found = {}
    for line in text.split("\n"):
        _, *rest = line.split(":", 2)
        if len(rest) == 2 and rest[1].startswith("/"):
            found.update(dict.fromkeys(rest[0].split(","), rest[1]))
    return found


def memory_places(mountinfo: str, membership: str) -> list[Place]:
    """Return where this process's memory is accounted, the likeliest place first.

    A controller is bound to one hierarchy only: when version 1 carries *memory*, it
    comes before version 2. Among several mounts of it the one in which the group
    itself is seen, with the most ancestors, is taken (as the JDK does).
    """
    paths = parse_membership(membership)
    found = []
    for mount in parse_mounts(mountinfo):
        path = paths.get("" if mount.version == 2 else "memory")
        if path and (mount.version == 2 or "memory" in mount.controllers):
            found.append(_place(mount, path))
    return sorted(
        found, key=lambda place: (place.version, place.inexact, -len(place.groups))
    )


def _place(mount: Mount, path: str) -> Place:
    root = mount.root.rstrip("/")
    inside = path == root or path.startswith(root + "/")
    # "/../x" is a group outside this namespace: no directory here has its name.
    inexact = not inside or ".." in (path + root).split("/")
    below = "" if inexact else path[len(root) :].rstrip("/")
    groups = []
    while True:
        directory = mount.mount_point.rstrip("/") + below
        groups.append((root + below or "/", directory or "/"))
        if not below:
            return Place(mount.version, tuple(groups), inexact)
        below = below.rpartition("/")[0]


def parse_counts(text: str, keys: Iterable[str]) -> dict[str, int]:
    """Return the numbers behind ``keys`` in lines of ``key number``, wherever they are.

    Reads ``memory.stat``, ``memory.events``, ``memory.oom_control`` and
    ``/proc/meminfo``. Cost: about 0.4 us a key, a third of splitting all lines.
    """
    lines, found = f"\n{text}\n", {}
    for key in keys:
        start = lines.find(f"\n{key} ")
        if start >= 0:
            start += len(key) + 2
            words = lines[start : lines.index("\n", start)].split()
            number = parse_count(words[0] if words else "")
            if number is not None:
                found[key] = number
    return found


def parse_count(text: str) -> int | None:
    """Return the one number of a file, or ``None`` for ``max`` and for what is none."""
    digits = text.strip()
    if len(digits) > _MOST_DIGITS or not (digits.isascii() and digits.isdecimal()):
        return None
    return int(digits)


def unlimited_bytes(page_size: int) -> int:
    """Return what version 1 writes for "no limit": the largest long, in whole pages."""
    return _LONG_MAX // page_size * page_size


def bounded(limit_bytes: int | None, page_size: int) -> int | None:
    """Return the limit, or ``None`` where it is version 1's way to say there is none.

    Kernels before 3.19 wrote larger numbers; these are none either.
    """
    if limit_bytes is None or limit_bytes >= unlimited_bytes(page_size):
        return None
    return limit_bytes


def parse_pressure(text: str) -> dict[str, float]:
    """Return avg10 of ``some`` and ``full``: the percentage of time spent stalled."""
    return {kind: float(percent) for kind, percent in _AVG10.findall(text)}
