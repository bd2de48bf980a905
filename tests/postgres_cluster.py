"""A PostgreSQL server for tests: a throw-away cluster, on a Unix socket alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Where Debian puts them; elsewhere they are on the path.
DEBIAN = Path("/usr/lib/postgresql")
#: PostgreSQL will not run as root; one of these does.
USERS = ("postgres", "nobody")
PATIENCE_SECONDS = 120.0


def _programs() -> Path:
    """Return the directory of the newest server's programs, or skip."""
    found = sorted(DEBIAN.glob("*/bin/initdb")) if DEBIAN.is_dir() else []
    path = str(found[-1]) if found else shutil.which("initdb")
    if path is None:
        pytest.skip("no PostgreSQL server here")
    return Path(path).resolve().parent


def _as_user(directory: Path) -> list[str]:
    """Return what a command begins with to run as somebody else than root."""
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in USERS if name in names), None)
    if user is None or shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no other way here")
    entry = pwd.getpwnam(user)
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    ids = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Start a server, and return the text to connect by: a socket, a user, a name."""
    psycopg = pytest.importorskip("psycopg")
    programs = _programs()
    # pytest's own directories are closed to other users.
    directory = Path(tempfile.mkdtemp(prefix="leakguard-pg-"))
    try:
        prefix = _as_user(directory)
        data, log = directory / "data", directory / "log"
        options = [
            "-U",
            "shop",
            "--auth=trust",
            "--no-sync",
            "--locale=C",
            "-E",
            "UTF8",
        ]
        initdb = [*prefix, str(programs / "initdb"), "-D", str(data), *options]
        subprocess.run(
            initdb, cwd=directory, check=True, capture_output=True, timeout=300
        )
        settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(directory)]
        server = [*prefix, str(programs / "postgres"), "-D", str(data), *settings]
        with log.open("wb") as output:
            running = subprocess.Popen(server, cwd=directory, stderr=output)
        try:
            address = f"host={directory} user=shop dbname=postgres"

            def answers() -> bool:
                with suppress(psycopg.OperationalError):
                    psycopg.connect(address).close()
                    return True
                return False

            _wait(answers, running, log)
            yield address
        finally:
            running.send_signal(signal.SIGINT)  # fast: it waits for nobody
            running.wait(PATIENCE_SECONDS)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait(
    answers: Callable[[], bool], running: subprocess.Popen[bytes], log: Path
) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not answers():
        assert running.poll() is None, log.read_text("utf-8", "replace")
        assert time.monotonic() < give_up_at, "the server does not answer"
        time.sleep(0.1)
