"""A board where the workers of one service post what they know, to answer for all.

A directory of small files, one per worker and kind. Rules of this file: nobody but the
user may look into it, or nothing is posted; a file is there whole or not at all; what
the dead have left is taken away; whatever fails is a reason, and the next posting
tries again.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from leakguard._core.records import Unknown
from leakguard._readers.lives import started_of
from leakguard._runtime.private_directory import name_for_user, open_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: More is not posted, and not read; and more files are not looked at.
MOST_BYTES: Final = 256 * 1024
MOST_FILES: Final = 1024
#: What is wanted of all workers is wanted for so long.
WANTED_SECONDS: Final = 60.0
#: Whose files are of no process: what is wanted of all.
_NOBODY: Final = 0
_SHARED: Final = "00000000"
_NAME: Final = re.compile(
    r"(\.?)([0-9a-f]{8})\.([0-9]{1,10})\.([0-9]{1,20})\.([A-Za-z0-9_-]{1,64})"
)


class Posting(NamedTuple):
    """What a worker has posted, and how long ago."""

    pid: int
    age_seconds: float
    text: str


class _File(NamedTuple):
    name: str
    is_part: bool
    group: str
    pid: int
    started_at: int
    kind: str
    age_seconds: float


class Board:
    """One service's board, the same in all of its workers.

    Without ``directory`` it is one of the user's below the directory for temporary
    files, and the workers of a service are those with one parent and one command.
    """

    def __init__(
        self,
        directory: str | None = None,
        *,
        root: str = "/",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Remember where; nothing is made or read yet. ``root`` is that of /proc."""
        self._given, self._root, self._clock = directory, root, clock

    def post(self, kind: str, text: str) -> Unknown | None:
        """Replace what this worker has posted of this kind; return what prevents it.

        Cost: about 0.2 ms.
        """
        worker = f"{os.getpid()}.{self._started_at(os.getpid())}"
        return self._write(f"{self._group()}.{worker}.{kind}", text)

    def read(self, kind: str) -> list[Posting] | Unknown:
        """Return what the living workers have posted. Cost: about 0.1 ms for each."""
        group = self._group()
        try:
            with self._directory() as here:
                return sorted(
                    Posting(file.pid, file.age_seconds, _text(here, file.name))
                    for file in self._living(here)
                    if (file.group, file.kind) == (group, kind)
                )
        except (OSError, ValueError) as error:
            return _why(error)

    def want(self, what: str) -> Unknown | None:
        """Ask something of all workers, by a name of letters and digits."""
        return self._write(f"{self._group()}.{_NOBODY}.0.{what}", "")

    def wanted(self) -> dict[str, float]:
        """Return what is asked of all workers, and how many seconds ago."""
        group = self._group()
        with suppress(OSError, ValueError), self._directory() as here:
            return {
                file.kind: file.age_seconds
                for file in self._living(here)
                if (file.group, file.pid) == (group, _NOBODY)
            }
        return {}

    def _write(self, name: str, text: str) -> Unknown | None:
        content = text.encode()
        if len(content) > MOST_BYTES:
            return Unknown("it is too long to be posted")
        part = f".{name}-{os.urandom(4).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            with self._directory() as here, _removed_on_failure(part, here):
                with os.fdopen(os.open(part, flags, 0o600, dir_fd=here), "wb") as file:
                    file.write(content)
                os.replace(part, name, src_dir_fd=here, dst_dir_fd=here)
        except (OSError, ValueError) as error:
            return _why(error)
        return None

    @contextmanager
    def _directory(self) -> Iterator[int]:
        """Open the directory, made if need be, and make sure that it is private.

        Raises:
            OSError: it cannot be opened, or others may look into it.

        """
        path = self._given or f"{tempfile.gettempdir()}/{name_for_user()}"
        here = open_private(path)
        try:
            yield here
        finally:
            os.close(here)

    def _living(self, here: int) -> Iterator[_File]:
        """Yield the files of the living, and delete those of the dead."""
        now, lives = self._clock(), dict[int, int | None]()
        for file in _files(here, now):
            if file.pid not in lives:
                lives[file.pid] = started_of(file.pid, self._root)
            if file.pid == _NOBODY:
                is_over = file.age_seconds > WANTED_SECONDS
            else:
                is_over = lives[file.pid] != file.started_at
            if is_over:
                with suppress(OSError):
                    os.unlink(file.name, dir_fd=here)
            elif not file.is_part:
                yield file

    def _group(self) -> str:
        if self._given is not None:
            return _SHARED
        parent = os.getppid()
        same = f"{parent} {self._started_at(parent)} {sys.argv}"
        return f"{zlib.crc32(same.encode('utf-8', 'replace')):08x}"

    def _started_at(self, pid: int) -> int:
        return started_of(pid, self._root) or 0


def _files(here: int, now_seconds: float) -> Iterator[_File]:
    """Yield what is there under a name that fits, whole or not."""
    names = sorted(os.listdir(here))[:MOST_FILES]
    for name, match in zip(names, map(_NAME.fullmatch, names), strict=True):
        if match is None:
            continue
        with suppress(OSError):  # replaced or deleted meanwhile
            changed_at = os.stat(name, dir_fd=here, follow_symlinks=False).st_mtime
            dot, group, pid, started, kind = match.groups()
            age = max(0.0, now_seconds - changed_at)
            yield _File(name, bool(dot), group, int(pid), int(started), kind, age)


def _text(here: int, name: str) -> str:
    """Return the text of a file, nothing if it is gone by now."""
    with suppress(FileNotFoundError):
        found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=here)
        with os.fdopen(found, "rb") as file:
            return file.read(MOST_BYTES).decode("utf-8", "replace")
    return ""


@contextmanager
def _removed_on_failure(name: str, here: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=here)
        raise


def _why(error: Exception) -> Unknown:
    return Unknown(getattr(error, "strerror", None) or type(error).__name__)
