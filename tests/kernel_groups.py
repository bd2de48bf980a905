"""Memory control groups of version 1 of a test's own, on the real kernel."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leakguard._core.cgroups import parse_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
REPOSITORY = Path(__file__).parents[1]
#: How long the kernel may take to let go of a process that has just ended.
EMPTY_SECONDS = 5.0
_NAMES = itertools.count()

#: Goes before a program: it joins the group that is its first argument.
JOIN = f"""
import os, sys
sys.path.insert(0, {str(REPOSITORY)!r})
def write(path, text):
    file = os.open(path, os.O_WRONLY)
    os.write(file, text.encode())
    os.close(file)
def join(group):
    write(group + "/cgroup.procs", str(os.getpid()))
group = sys.argv[1]
join(group)
"""


def write(file: Path, text: object) -> None:
    """Write, closing explicitly, and see that the kernel has taken it."""
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, str(text).encode())
    finally:
        os.close(descriptor)
    assert file.read_text("ascii").strip() == str(text)


def make_group(parent: Path) -> Path:
    """Make a group of a new name."""
    group = parent / f"leakguard-test-{os.getpid()}-{next(_NAMES)}"
    group.mkdir()
    return group


def remove_group(group: Path) -> None:
    """Remove it and those inside it, once its last process is gone."""
    until = time.monotonic() + EMPTY_SECONDS
    for inner in sorted(group.glob("**/"), reverse=True):
        while True:
            try:
                inner.rmdir()
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)


@pytest.fixture(scope="session")
def mount_point() -> Path:
    """Return where version 1's memory hierarchy can be written, or skip."""
    try:
        mounts = parse_mounts(Path("/proc/self/mountinfo").read_text("utf-8"))
    except OSError as error:
        pytest.skip(f"no mountinfo: {error}")
    for mount in mounts:
        if mount.root == "/" and "memory" in mount.controllers:
            with suppress(OSError):
                make_group(Path(mount.mount_point)).rmdir()
                return Path(mount.mount_point)
    pytest.skip("no memory control group of version 1 that we may write")


@pytest.fixture
def group(mount_point: Path) -> Iterator[Path]:
    """Make a group; it is removed afterwards."""
    group = make_group(mount_point)
    yield group
    remove_group(group)
