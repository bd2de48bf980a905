"""What a guard costs a busy web application: while all is well, and while it looks.

Flask under waitress and Starlette under uvicorn answer over loopback. Several clients
at once keep them busy: a share of the processor's time is one of the throughput then.
Each variant is a fresh process, and the variants of a round take turns many
times a second, so that a machine that is busy elsewhere is so for all of them. What
counts is the processor time of the whole process per request, its turns through. The
ratio told is the median over the rounds.

A round is too short for verdicts, which may take a thousandth of the time by rule.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Row, main

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "web applications under load"
BUDGET = "throughput of bare: watched 0.99, averaged over an investigation 0.95"

#: What each application needs to be imported.
_APPS = {"Flask": ("flask", "waitress"), "Starlette": ("starlette", "uvicorn")}
_PEERS = ("tracemalloc", "memray")
_BARE, _WATCHED, _LOOKING = "bare", "watched", "while it looks"
_AT_LEAST = {_WATCHED: 0.99, _LOOKING: 0.95}
#: A turn; one of the investigated, which pays by the clock, is nearly all the time.
_TURN_SECONDS, _LOOKING_TURN_SECONDS, _WARM_UP_SECONDS = 0.05, 0.45, 0.5
_TURNS, _LOOKING_TURNS = 80, 60
_LOOK_SECONDS = _LOOKING_TURNS * (_TURN_SECONDS + _LOOKING_TURN_SECONDS)
_ROWS, _LEAST_BYTES, _MOST_BYTES = 40, 500, 65_536
_CLIENTS = 4
_REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\n\r\n"


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Serve bare, watched, looking, and beside the peers that are installed."""
    rows: list[Row] = []
    for app, modules in _APPS.items():
        if all(map(importlib.util.find_spec, modules)):
            rows += _rows(app, 3 if quick else 9, 1 if quick else 5)
    return rows


def _rows(app: str, rounds: int, looks: int) -> list[Row]:
    peers = [peer for peer in _PEERS if importlib.util.find_spec(peer)]
    healthy = [_round(app, [_BARE, _WATCHED, *peers], _TURNS) for _ in range(rounds)]
    looking = [_round(app, [_BARE, _LOOKING], _LOOKING_TURNS) for _ in range(looks)]
    bare = statistics.median(costs[_BARE]["µs"] for costs in healthy)
    rows = []
    for variant, found in ((_WATCHED, healthy), (_LOOKING, looking)):
        ours, what = bare / _ratio(found, variant), f"{app}, {variant}"
        least = _AT_LEAST[variant]
        met = bare >= ours * least
        rows.append(Row(what, ours, "µs", _BARE, bare, f">= {least:g}x", met))
        rows += [
            Row(what, ours, "µs", peer, bare / _ratio(healthy, peer)) for peer in peers
        ]
    told = statistics.median(costs[_LOOKING]["overhead"] for costs in looking)
    lost = 1 - _ratio(looking, _LOOKING)
    what = f"{app}, overhead as reported"
    return [*rows, Row(what, 100 * told, "%", "as measured", 100 * lost)]


def _ratio(rounds: Sequence[dict[str, dict[str, float]]], variant: str) -> float:
    """Return the median throughput of a variant as a share of the bare one's."""
    return statistics.median(
        costs[_BARE]["µs"] / costs[variant]["µs"] for costs in rounds
    )


def _round(
    app: str, variants: Sequence[str], turns: int
) -> dict[str, dict[str, float]]:
    """Let fresh processes serve in turn; return what each says of its cost."""
    servers = {variant: Server(app, variant) for variant in variants}
    for _ in range(turns):
        for variant, server in servers.items():
            looks = variant == _LOOKING
            server.serve(_LOOKING_TURN_SECONDS if looks else _TURN_SECONDS)
    return {variant: server.end() for variant, server in servers.items()}


class Server:
    """A process that serves, and tells its processor time when it is asked."""

    def __init__(self, app: str, variant: str) -> None:
        command = [sys.executable, __file__, app, variant]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._seconds, self._requests = 0.0, 0
        self._clients, self._size = _clients(int(self._said()))
        self._ask_for(_WARM_UP_SECONDS)
        self._told("begin")

    def serve(self, seconds: float) -> None:
        """Ask it for so long, and count what that costs."""
        before = float(self._told("cost"))
        self._requests += self._ask_for(seconds)
        self._seconds += float(self._told("cost")) - before

    def end(self) -> dict[str, float]:
        """End it and return what was measured."""
        for client in self._clients:
            client.close()
        told = json.loads(self._told("end"))
        self._process.communicate()
        return {"µs": self._seconds / self._requests * 1e6, **told}

    def _ask_for(self, seconds: float) -> int:
        requests, end = 0, time.monotonic() + seconds
        for client in self._clients:
            client.sendall(_REQUEST)
        while time.monotonic() < end:
            for client in self._clients:
                _receive(client, self._size)
                client.sendall(_REQUEST)
            requests += len(self._clients)
        for client in self._clients:
            _receive(client, self._size)
        return requests + len(self._clients)

    def _told(self, what: str) -> str:
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)
        return self._said()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _clients(port: int) -> tuple[list[socket.socket], int]:
    """Return connections that are kept, and the size of every response."""
    address = ("127.0.0.1", port)
    with socket.create_connection(address) as first:
        first.sendall(_REQUEST.replace(b"keep-alive", b"close"))
        response = b"".join(iter(lambda: first.recv(_MOST_BYTES), b""))
    if len(response) < _LEAST_BYTES:
        raise SystemExit(f"the application answered with {len(response)} bytes")
    body = len(response.partition(b"\r\n\r\n")[2])
    clients = [socket.create_connection(address) for _ in range(_CLIENTS)]
    clients[0].sendall(_REQUEST)
    head = b""
    while b"\r\n\r\n" not in head:
        head += clients[0].recv(_MOST_BYTES)
    size = len(head.partition(b"\r\n\r\n")[0]) + 4 + body
    _receive(clients[0], size - len(head))
    return clients, size


def _receive(client: socket.socket, size: int) -> None:
    while size > 0:
        part = len(client.recv(_MOST_BYTES))
        if not part:
            raise SystemExit("the application closed a connection")
        size -= part


def _serve(app: str, variant: str) -> None:
    """Be the server: a line in asks for something, a line out answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    run = {"Flask": _flask, "Starlette": _starlette}[app]
    watches = variant in _AT_LEAST
    threading.Thread(target=run, args=(listener, watches), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    begin, end = _VARIANTS[variant]()
    answers = {"cost": time.process_time, "begin": begin, "end": end}
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)
    os._exit(0)  # a server's thread has no end of its own


def _peer() -> tuple[Callable[[], object], Callable[[], dict[str, float]]]:
    return dict, dict


def _tracemalloc() -> tuple[Callable[[], object], Callable[[], dict[str, float]]]:
    return tracemalloc.start, dict


def _memray() -> tuple[Callable[[], object], Callable[[], dict[str, float]]]:
    import memray

    nowhere = memray.FileDestination("/dev/null", overwrite=True)
    tracker = memray.Tracker(destination=nowhere)
    return lambda: bool(tracker.__enter__()), dict


def _looking() -> tuple[Callable[[], object], Callable[[], dict[str, float]]]:
    import leakguard

    guard = leakguard.watch()
    look = threading.Thread(target=guard.investigate, args=(_LOOK_SECONDS,))

    def cost() -> dict[str, float]:
        look.join()
        return {"overhead": guard.report().cost.overhead_ratio or 0.0}

    return look.start, cost


#: What begins a variant, and what it tells in the end.
_VARIANTS = {
    _BARE: _peer,
    _WATCHED: _peer,
    _LOOKING: _looking,
    "tracemalloc": _tracemalloc,
    "memray": _memray,
}


def _flask(listener: socket.socket, watches: bool) -> None:  # noqa: FBT001
    """Serve a Flask application that fills a template."""
    from flask import Flask, render_template
    from jinja2 import DictLoader
    from waitress.server import create_server

    app = Flask(__name__)
    page = "<ul>{% for row in rows %}<li>{{ row.name }}: {{ row.n }}</li>{% endfor %}"
    app.jinja_loader = DictLoader({"page": page})

    @app.get("/")
    def home() -> str:
        return render_template("page", rows=_table())

    if watches:
        from leakguard.wsgi import Middleware

        app.wsgi_app = Middleware(app.wsgi_app)  # type: ignore[method-assign]
    logging.getLogger("waitress").setLevel(logging.ERROR)
    create_server(app, sockets=[listener]).run()


def _starlette(listener: socket.socket, watches: bool) -> None:  # noqa: FBT001
    """Serve a Starlette application that answers with rows as JSON."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def home(_request: object) -> JSONResponse:
        return JSONResponse(_table())

    app = Starlette(routes=[Route("/", home)])
    if watches:
        from leakguard.asgi import Middleware

        app.add_middleware(Middleware)
    config = uvicorn.Config(app, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def _table() -> list[dict[str, object]]:
    return [{"name": f"product {n}", "n": n} for n in range(_ROWS)]


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in _APPS:
        _serve(*sys.argv[1:])
    else:
        main(NAME, BUDGET, run)
