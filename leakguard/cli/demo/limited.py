"""Runs the shop under a memory limit of its own, as the program of a child process.

``python -m leakguard.cli.demo.limited SHOP GROUP HEADROOM guarded|bare``: joins the
control group, warms up, allows so many bytes more than that took, prints the port and
the limit, and serves until its standard input ends. Without a group (``-``) the limit
is RLIMIT_DATA.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

#: What the guard is told of the shop.
PRIORITY = {"/price/*": "critical"}
#: A group's limit and usage, in version 1 and in version 2.
FILES = (
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ("memory.max", "memory.current"),
)
_WARM_UP_VISITS = 50


def main() -> None:
    """Be the server."""
    source, group, headroom_bytes, how = sys.argv[1:]
    from leakguard.cli.demo import imported
    from leakguard.cli.demo.load import Shop

    if group != "-":
        write(Path(group, "cgroup.procs"), os.getpid())
    app = imported(Path(source)).app
    if how == "guarded":
        from leakguard.wsgi import Middleware

        app.wsgi_app = Middleware(app.wsgi_app, priority=PRIORITY)  # type: ignore[arg-type]
    _warm_up(app)
    with Shop(app) as shop:
        limit_bytes = _limit(group, int(headroom_bytes))
        print(shop.port, limit_bytes, flush=True)
        sys.stdin.read()


def write(file: Path, number: int) -> None:
    """Write a number to a file of the kernel's.

    Raises:
        OSError: the kernel does not take it.

    """
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, str(number).encode())
    finally:
        os.close(descriptor)


def _warm_up(app: Flask) -> None:
    client = app.test_client()
    for number in range(_WARM_UP_VISITS):
        client.post(f"/order/{number % 8}", json={"note": ""})
        client.get(f"/price/{number}")


def _limit(group: str, headroom_bytes: int) -> int:
    if group == "-":
        return _limit_data(headroom_bytes)
    for limit, usage in FILES:
        if Path(group, limit).exists():
            used = int(Path(group, usage).read_text("ascii"))
            write(Path(group, limit), used + headroom_bytes)
            return used + headroom_bytes
    raise SystemExit(f"no memory limit can be set in {group}")


def _limit_data(headroom_bytes: int) -> int:
    import resource

    words = Path("/proc/self/statm").read_text("ascii").split()
    limit_bytes = int(words[5]) * resource.getpagesize() + headroom_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
    return limit_bytes


if __name__ == "__main__":
    main()
