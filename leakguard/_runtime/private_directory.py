"""A directory for files that processes of one user share, and nobody else sees."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def name_for_user() -> str:
    """Return what the directory is called, below one for all users.

    Raises:
        OSError: this system has no private directories.

    """
    if not hasattr(os, "geteuid"):
        raise OSError(0, "unsupported: this system has no private directories")
    return f"leakguard-{os.geteuid()}"


def open_private(path: str, *, make: bool = True) -> int:
    """Return an open descriptor of the directory, which is made if need be.

    Nobody else can have planted a link in it. Who only reads does not ``make`` it.

    Raises:
        OSError: it cannot be opened, or others may look into it.

    """
    name_for_user()
    if make:
        with suppress(FileExistsError):
            Path(path).mkdir(0o700)
    here = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    found = os.fstat(here)
    if found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077:
        return here
    os.close(here)
    raise PermissionError(0, "its directory is not this user's alone (mode 0700)")
