"""What a guard costs a busy web application: while all is well, and while it looks.

Flask under waitress and Starlette under uvicorn answer over loopback, bare and behind
the middleware. Several clients at once keep them busy: a share of the processor's time
is one of the throughput then. Bare and watched take turns, forty a second, in the same
server, on the same connections: its threads and its memory differ by two percent from
server to server, and the machine by several from moment to moment. What counts is the
processor time of the whole process per request, and of the ratios of turns that follow
each other, in several processes, the median. The peers, which disturb what comes after
them, have servers of their own. The guard's ticks, one a second (see ``guard_tick``),
fall on both.

An investigation is one long turn, between two bare ones; its ratio is the median, too.
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
from itertools import cycle, islice, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Row, main

if TYPE_CHECKING:
    from collections.abc import Callable

    Switch = tuple[Callable[[], object], Callable[[], dict[str, float]]]

NAME = "web applications under load"
BUDGET = "throughput of bare: watched 0.99, averaged over an investigation 0.95"

#: What each application needs to be imported.
_APPS = {"Flask": ("flask", "waitress"), "Starlette": ("starlette", "uvicorn")}
_PEERS = ("tracemalloc", "memray")
_BARE, _AGAIN = "bare", "bare once more"
_WATCHED, _LOOKING = "watched", "while it looks"
_AT_LEAST = {_WATCHED: 0.99, _LOOKING: 0.95}
#: In a round each has a turn; so many rounds in one process.
_ROUNDS, _PEER_ROUNDS = 240, 60
#: A turn; one of an investigation takes long enough for several windows.
_TURN_SECONDS, _LOOKING_TURN_SECONDS, _BARE_TURN_SECONDS = 0.02, 25.0, 8.0
_WARM_UP_SECONDS, _SETTLE_SECONDS = 0.5, 0.005
_ROWS, _LEAST_BYTES, _MOST_BYTES = 40, 500, 65_536
_CLIENTS = 4
_REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\n\r\n"


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Serve bare, watched, looking, and beside the peers that are installed."""
    rows: list[Row] = []
    for app, modules in _APPS.items():
        if all(map(importlib.util.find_spec, modules)):
            rows += _rows(app, processes=2 if quick else 7, looks=1 if quick else 5)
    return rows


def _rows(app: str, processes: int, looks: int) -> list[Row]:
    peers = [peer for peer in _PEERS if importlib.util.find_spec(peer)]
    healthy = _healthy(app, [_BARE, _AGAIN, _WATCHED], processes, _ROUNDS)
    beside = _healthy(app, [_BARE, *peers], looks if peers else 0, _PEER_ROUNDS)
    looking = [_look(app) for _ in range(looks)]
    bare = statistics.median(costs[_BARE] for costs in healthy)
    cost = {name: bare / _ratio(healthy, name) for name in (_AGAIN, _WATCHED)}
    cost |= {peer: bare / _ratio(beside, peer) for peer in peers}
    cost[_LOOKING] = bare / _ratio(looking, _LOOKING)
    rows = [Row(f"{app}, {_AGAIN}", cost[_AGAIN], "µs", _BARE, bare)]
    for variant, least in _AT_LEAST.items():
        what, ours, budget = f"{app}, {variant}", cost[variant], f">= {least:g}x"
        rows.append(Row(what, ours, "µs", _BARE, bare, budget, bare / ours >= least))
        rows += [Row(what, ours, "µs", peer, cost[peer]) for peer in peers]
    told = statistics.median(costs["overhead"] for costs in looking)
    lost, what = 1 - bare / cost[_LOOKING], f"{app}, overhead as reported"
    return [*rows, Row(what, 100 * told, "%", "as measured", 100 * lost)]


def _ratio(rounds: list[dict[str, float]], variant: str) -> float:
    """Return the throughput of a variant against bare, the median of the rounds."""
    return statistics.median(costs[_BARE] / costs[variant] for costs in rounds)


def _healthy(
    app: str, variants: list[str], processes: int, rounds: int
) -> list[dict[str, float]]:
    """Let processes serve in turns; return the µs per request of each round."""
    found: list[dict[str, float]] = []
    for _ in range(processes):
        server = Server(app)
        found += [
            {name: server.turn(name, _TURN_SECONDS) for name in order}
            for order in islice(cycle(permutations(variants)), rounds)
        ]
        server.end()
    return found


def _look(app: str) -> dict[str, float]:
    """Let a process serve while it looks, and before and after that."""
    server = Server(app)
    before = server.turn(_BARE, _BARE_TURN_SECONDS)
    looking = server.turn(_LOOKING, _LOOKING_TURN_SECONDS)
    after = server.turn(_BARE, _BARE_TURN_SECONDS)
    server.end()
    return {_BARE: (before + after) / 2, _LOOKING: looking, **server.told}


class Server:
    """A process that serves an application bare and watched."""

    def __init__(self, app: str) -> None:
        command = [sys.executable, __file__, app]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.told: dict[str, float] = {}
        self._clients = _clients(json.loads(self._said()))
        for variant in (_BARE, _WATCHED):
            self.turn(variant, _WARM_UP_SECONDS)

    def turn(self, variant: str, seconds: float) -> float:
        """Ask it for so long; return the µs of processor time per request."""
        self._ask_for(f"begin {variant}")
        _ask(self._clients, _SETTLE_SECONDS)
        before = float(self._ask_for("cost"))
        requests = _ask(self._clients, seconds)
        cost = float(self._ask_for("cost")) - before
        self.told |= json.loads(self._ask_for(f"end {variant}"))
        return cost / requests * 1e6

    def end(self) -> None:
        """End it."""
        for client in self._clients[0]:
            client.close()
        self._process.communicate()

    def _ask_for(self, what: str) -> str:
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)
        return self._said()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _ask(clients: tuple[list[socket.socket], int], seconds: float) -> int:
    """Keep all clients asking for so long; return the number of requests."""
    sockets, size = clients
    requests, end = 0, time.monotonic() + seconds
    for client in sockets:
        client.sendall(_REQUEST)
    while time.monotonic() < end:
        for client in sockets:
            _receive(client, size)
            client.sendall(_REQUEST)
        requests += len(sockets)
    for client in sockets:
        _receive(client, size)
    return requests + len(sockets)


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


def _serve(app: str) -> None:
    """Be the server: a line in asks for something, a line out answers."""
    run = {"Flask": _flask, "Starlette": _starlette}[app]
    listener = socket.create_server(("127.0.0.1", 0))
    # Else the second part of a response waits 40 ms for the first one's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=run, args=(listener,), daemon=True).start()
    print(json.dumps(listener.getsockname()[1]), flush=True)
    switches = {name: switch() for name, switch in _SWITCHES.items()}
    for line in sys.stdin:
        what, _, variant = line.strip().partition(" ")
        begin, end = switches.get(variant, (dict, dict))
        _Turns.is_watched = variant in {_WATCHED, _LOOKING}
        answer = {"cost": time.process_time, "begin": begin, "end": end}[what]()
        print(json.dumps(answer if what != "begin" else None), flush=True)
    os._exit(0)  # a server's thread has no end of its own


class _Turns:
    """An application that is now the bare one, and now the one behind middleware."""

    is_watched = False

    def __init__(
        self, bare: Callable[..., Any], middleware: Callable[..., Callable[..., Any]]
    ) -> None:
        self._bare, self._watched = bare, middleware(bare)

    def __call__(self, *arguments: object) -> Any:  # noqa: ANN401 - WSGI's or ASGI's
        if _Turns.is_watched:
            return self._watched(*arguments)
        return self._bare(*arguments)


def _idle() -> Switch:
    return dict, dict


def _looking() -> Switch:
    def begin() -> None:
        import leakguard

        seconds = _SETTLE_SECONDS + _LOOKING_TURN_SECONDS
        look = leakguard.watch().investigate
        threading.Thread(target=look, args=(seconds,)).start()

    def end() -> dict[str, float]:
        import leakguard

        return {"overhead": leakguard.watch().report().cost.overhead_ratio or 0.0}

    return begin, end


def _tracemalloc() -> Switch:
    return tracemalloc.start, lambda: tracemalloc.stop() or {}


def _memray() -> Switch:
    if importlib.util.find_spec("memray") is None:
        return dict, dict
    import memray

    running = []

    def begin() -> None:
        nowhere = memray.FileDestination("/dev/null", overwrite=True)
        running.append(memray.Tracker(destination=nowhere))
        running[-1].__enter__()

    def end() -> dict[str, float]:
        running.pop().__exit__(None, None, None)
        return {}

    return begin, end


#: What begins a variant, and what ends it and tells something of it.
_SWITCHES: dict[str, Callable[[], Switch]] = {
    _BARE: _idle,
    _AGAIN: _idle,
    _WATCHED: _idle,
    _LOOKING: _looking,
    "tracemalloc": _tracemalloc,
    "memray": _memray,
}


def _flask(listener: socket.socket) -> None:
    """Serve a Flask application that fills a template."""
    from flask import Flask, render_template
    from jinja2 import DictLoader
    from waitress.server import create_server

    from leakguard.wsgi import Middleware

    app = Flask(__name__)
    page = "<ul>{% for row in rows %}<li>{{ row.name }}: {{ row.n }}</li>{% endfor %}"
    app.jinja_loader = DictLoader({"page": page})

    @app.get("/")
    def home() -> str:
        return render_template("page", rows=_table())

    app.wsgi_app = _Turns(app.wsgi_app, Middleware)  # type: ignore[method-assign]
    logging.getLogger("waitress").setLevel(logging.ERROR)
    create_server(app, sockets=[listener]).run()


def _starlette(listener: socket.socket) -> None:
    """Serve a Starlette application that answers with rows as JSON."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from leakguard.asgi import Middleware

    async def home(_request: object) -> JSONResponse:
        return JSONResponse(_table())

    app = Starlette(routes=[Route("/", home)])
    app.add_middleware(lambda app: _Turns(app, Middleware))
    config = uvicorn.Config(
        app, log_level="error", access_log=False, timeout_keep_alive=120
    )
    uvicorn.Server(config).run(sockets=[listener])


def _table() -> list[dict[str, object]]:
    return [{"name": f"product {n}", "n": n} for n in range(_ROWS)]


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in _APPS:
        _serve(sys.argv[1])
    else:
        main(NAME, BUDGET, run)
