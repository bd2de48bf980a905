"""A server with a guard in it, run as a process of its own by ``test_guard_e2e.py``.

``guarded_server.py SOURCE KIND GROUP``: joins the control group, serves on a free port
of 127.0.0.1, prints the port, and ends when its standard input does.
"""

from __future__ import annotations

import functools
import json
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
            self.send(report())
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

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


def report() -> bytes:
    cpu_seconds = time.process_time()
    found = {
        "cpu_seconds": cpu_seconds,
        "report": json.loads(leakguard.render(guard.report(), "json")),
    }
    if os.environ.get("SAMPLES"):
        from dataclasses import asdict

        monitor = guard._monitor
        found["samples"] = [asdict(s) for s in monitor.watcher.series.samples()]
        trend = monitor.watcher.state.trend
        found["trend"] = asdict(trend) if trend else None
        found["state"] = [
            monitor.watcher.state.ticks,
            monitor.watcher.state.failed_ticks,
            monitor.watcher.state.failure,
        ]
        found["looks"] = [
            (l.at_seconds, l.seconds, l.work)
            for l in monitor.investigation.findings().looks
        ]
    return json.dumps(found).encode()


if __name__ == "__main__":
    source, kind, group = sys.argv[1:]
    if group != "-":
        with open(group + "/cgroup.procs", "w") as procs:
            procs.write(str(os.getpid()))
            procs.flush()
    sys.path.insert(0, source)
    import leakguard
    from leakguard._runtime.monitor import process

    work = process().work
    guard = leakguard.watch() if not os.environ.get("BARE") else None
    Handler.answer = staticmethod({"leak": leak, "cache": cache, "load": load}[kind])
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
