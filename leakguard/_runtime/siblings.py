"""What the workers of one master share: whose turn it is, and what they leave.

Rules of this file: one small file in a directory of this user's alone; the lock on it
is held until the process that took it has ended, however it ends.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from leakguard._core.recycling import NOTHING_LEFT, Legacy, Objection
from leakguard._core.surge import Step
from leakguard._runtime.private_directory import name_for_user, open_private

if TYPE_CHECKING:
    from collections.abc import Iterable

    from leakguard._core.recycling import Worker

_MOST_BYTES: Final = 65_536
_SURGE, _FLOOR, _STEP, _STEPPED = b"surge", b"floor", b"step", b"stepped"


def take_turn(worker: Worker, directories: Iterable[str] | None) -> int | Objection:
    """Return the open and locked file of this master's workers."""
    import fcntl

    turn = _opened(worker, directories, os.O_RDWR | os.O_CREAT)
    if isinstance(turn, Objection):
        return turn
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(turn)
        return Objection("sibling", "another one is just being replaced")
    return turn


def read_legacy(worker: Worker, directories: Iterable[str] | None) -> Legacy:
    """Return what the last of this master's workers left behind; nothing is made."""
    shared = _opened(worker, directories, os.O_RDONLY)
    if isinstance(shared, Objection):
        return NOTHING_LEFT
    try:
        return read_shared(shared)[1]
    finally:
        os.close(shared)


def shared_directories() -> list[str]:
    """Return where siblings could meet, the best place first."""
    named = (os.environ.get(name) for name in ("XDG_RUNTIME_DIR", "TMPDIR"))
    return [*filter(None, named), "/tmp", "/dev/shm"]  # noqa: S108 - made private


def _opened(
    worker: Worker, directories: Iterable[str] | None, flags: int
) -> int | Objection:
    """Return the open file of this master's workers.

    In a directory of this user's alone: nobody else can have planted a link there.
    """
    name = f"recycling-{worker.master_pid}-{worker.master_started}"
    why = "no directory"
    for parent in directories if directories is not None else shared_directories():
        try:
            return _open_private(parent, name, flags)
        except OSError as error:  # noqa: PERF203 - the next one may do
            why = f"{parent}: {error.strerror or type(error).__name__}"
    return Objection("lock", f"it can share no lock with the others ({why})")


def _open_private(parent: str, name: str, flags: int) -> int:
    """Open a file in this user's directory below ``parent``.

    With ``O_CREAT`` both are made if need be.

    Raises:
        OSError: that is not possible, or the directory is not this user's alone.

    """
    path = f"{parent}/{name_for_user()}"
    directory = open_private(path, make=bool(flags & os.O_CREAT))
    try:
        return os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    finally:
        os.close(directory)


def read_shared(shared: int) -> tuple[list[float], Legacy]:
    """Return when workers were replaced, and what the last of them left behind.

    What makes no sense is left out.
    """
    times: list[float] = []
    found: dict[bytes, float] = {}
    for word in os.pread(shared, _MOST_BYTES, 0).split():
        name, _, number = word.rpartition(b"=")
        with suppress(ValueError):
            if name:
                found[name] = abs(float(int(number)))
            else:
                times.append(float(number))
    at_seconds = max(times, default=None)
    step = None
    if _STEP in found and _STEPPED in found:
        step = Step(found[_STEPPED], 0, int(found[_STEP]))
    return times, Legacy(found.get(_SURGE, 0.0), found.get(_FLOOR), at_seconds, step)


def write_shared(shared: int, times: list[float], legacy: Legacy) -> None:
    """Note when workers were replaced, and what the last of them leaves behind."""
    words = [f"{known:.3f}".encode() for known in times]
    numbers = {_SURGE: legacy.surge_bytes, _FLOOR: legacy.floor_bytes}
    if legacy.step is not None:
        numbers |= {_STEP: legacy.step.size_bytes, _STEPPED: legacy.step.at_seconds}
    for name, number in numbers.items():
        if number is not None:
            words.append(b"%s=%d" % (name, number))
    os.ftruncate(shared, 0)
    os.pwrite(shared, b" ".join(words), 0)
