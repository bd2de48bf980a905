"""A machine's /proc and /sys in a directory, as the kernel would write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
NO_LIMIT_V1 = 9223372036854771712
V1_AT, V2_AT = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class FakeMachine:
    """Writes the files a test names; ``root`` stands for ``/``."""

    def __init__(self, root: Path) -> None:
        self.path = root
        self.root = str(root)
        self.write("/proc/self/mountinfo", "")

    def write(self, path: str, text: object) -> None:
        file = self.path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        # In place: descriptors that are open see the new text.
        file.write_text(f"{text}\n", encoding="utf-8")

    def mount(self, version: int, root: str = "/", at: str | None = None) -> None:
        kind = "cgroup2 none rw" if version == 2 else "cgroup none rw,memory"
        where = at or (V2_AT if version == 2 else V1_AT)
        file = self.path / "proc/self/mountinfo"
        line = f"35 31 0:32 {root} {where} rw,relatime shared:9 - {kind}\n"
        file.write_text(file.read_text("utf-8") + line, encoding="utf-8")

    def join(self, *lines: str) -> None:
        self.write("/proc/self/cgroup", "\n".join(lines))

    def host(self, total: int, available: int, swap_free: int = 0) -> None:
        sizes = {"MemTotal": total, "MemAvailable": available, "SwapFree": swap_free}
        lines = [f"{name}:  {size >> 10} kB" for name, size in sizes.items()]
        self.write("/proc/meminfo", "\n".join(lines))

    def group(self, directory: str, **files: object) -> None:
        """Write files of a group; ``__`` stands for a dot: ``memory__max=5``."""
        for name, text in files.items():
            self.write(f"{directory}/{name.replace('__', '.')}", text)

    def v2(self, path: str = "", usage: int = 0, **files: object) -> str:
        """Make a group of version 2 without limits and return its directory."""
        directory = V2_AT + path
        self.group(directory, memory__current=usage, memory__max="max")
        self.group(directory, memory__stat="inactive_file 0\nactive_file 0")
        self.group(directory, **files)
        return directory

    def v1(self, path: str = "", usage: int = 0, **files: object) -> str:
        """Make a group of version 1 without limits and return its directory."""
        directory = V1_AT + path
        self.group(directory, memory__usage_in_bytes=usage)
        self.group(directory, memory__limit_in_bytes=NO_LIMIT_V1)
        stat = "inactive_file 0\ntotal_inactive_file 0\ntotal_active_file 0"
        self.group(directory, memory__stat=stat)
        self.group(directory, **files)
        return directory
