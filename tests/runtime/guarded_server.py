"""A server with a guard in it, run as a process of its own by ``test_guarded_server``.

``guarded_server.py SOURCE KIND GROUP``: joins the control group, serves on a free port
of 127.0.0.1, prints the port, and ends when its standard input does.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CACHED_PAGES = 1_500
ROWS, WAIT_SECONDS = 2_000, 0.2

kept: list[bytes] = []


def leak(number: int) -> bytes:
    """Keep 1 KB of each request for ever."""
    receipt = b"%d" % number + bytes(1000)
    kept.append(receipt)
    return receipt[:20]


@functools.lru_cache(maxsize=CACHED_PAGES)
def page(number: int) -> bytes:
    return b"%d" % number + bytes(8_000)


def cache(number: int) -> bytes:
    """Keep a page of each address, up to a bound."""
    return page(number)[:20]


def load(number: int) -> bytes:
    """Hold some rows for as long as the request takes."""
    rows = [{"number": number, "row": row, "text": f"row {row}"} for row in range(ROWS)]
    time.sleep(WAIT_SECONDS)
    return b"%d" % len(rows)


class Handler(BaseHTTPRequestHandler):
    """Answers ``/NUMBER`` by the kind of the server, and ``/report``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answer: Callable[[int], bytes]

    def do_GET(self) -> None:
        if self.path == "/report":
            self.send(leakguard.render(guard.report(), "json").encode())
            return
        work.begin()
        try:
            body = type(self).answer(int(self.path[1:]))
        finally:
            work.end()
        self.send(body)

    def send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    source, kind, group = sys.argv[1:]
    procs = os.open(f"{group}/cgroup.procs", os.O_WRONLY)
    os.write(procs, str(os.getpid()).encode())
    os.close(procs)
    sys.path.insert(0, source)
    import leakguard
    from leakguard._runtime.monitor import process

    work, guard = process().work, leakguard.watch()
    Handler.answer = staticmethod({"leak": leak, "cache": cache, "load": load}[kind])
    ThreadingHTTPServer.daemon_threads = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)  # noqa: T201 - read by the test
    sys.stdin.read()
