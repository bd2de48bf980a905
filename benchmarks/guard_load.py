"""What a guard costs a busy web application: while all is well, and while it looks.

Flask and Starlette serve as fast as they can, called through WSGI and ASGI as a
server calls them: so what is measured is theirs and ours. Each variant is a fresh
process, and the variants of a round take turns many times a second, so that a machine
that is busy elsewhere is so for all of them. What counts is the processor time of the
whole process per request, its turns through. The ratio told is the median over the
rounds.

A round is too short for verdicts, which may take a thousandth of the time by rule.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Row, main

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "web applications under load"
BUDGET = "throughput of bare: watched 0.99, averaged over an investigation 0.95"

_APPS = {"Flask": "flask", "Starlette": "starlette"}
_PEERS = ("tracemalloc", "memray")
_BARE, _WATCHED, _LOOKING = "bare", "watched", "while it looks"
_AT_LEAST = {_WATCHED: 0.99, _LOOKING: 0.95}
#: A turn; one of the investigated, which pays by the clock, is nearly all the time.
_TURN_SECONDS, _LOOKING_TURN_SECONDS, _WARM_UP_SECONDS = 0.05, 0.45, 0.5
_TURNS, _LOOKING_TURNS = 80, 60
_LOOK_SECONDS = _LOOKING_TURNS * (_TURN_SECONDS + _LOOKING_TURN_SECONDS)
_ROWS = 40


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Serve bare, watched, looking, and beside the peers that are installed."""
    rows: list[Row] = []
    for app, module in _APPS.items():
        if importlib.util.find_spec(module):
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
    for server in servers.values():
        server.serve(_WARM_UP_SECONDS)
    for _ in range(turns):
        for variant, server in servers.items():
            looks = variant == _LOOKING
            server.serve(_LOOKING_TURN_SECONDS if looks else _TURN_SECONDS)
    return {variant: server.end() for variant, server in servers.items()}


class Server:
    """A process that serves for as long as it is told to, again and again."""

    def __init__(self, app: str, variant: str) -> None:
        command = [sys.executable, __file__, app, variant]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def serve(self, seconds: float) -> None:
        """Let it serve, and wait for that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(seconds, file=self._process.stdin, flush=True)
        self._process.stdout.readline()

    def end(self) -> dict[str, float]:
        """End it and return what it has measured."""
        told, _ = self._process.communicate()
        return json.loads(told)


def _serve(app: str, variant: str) -> None:
    """Be the server: a line in is for how long to serve, a line out that it is done."""
    serve, begin, cost = _prepared(app, variant)
    _serve_for(float(input()), serve)  # warms up
    print(flush=True)
    begin()
    seconds, requests = 0.0, 0
    for line in sys.stdin:
        started = time.process_time()
        requests += _serve_for(float(line), serve)
        seconds += time.process_time() - started
        print(flush=True)
    print(json.dumps({"µs": seconds / requests * 1e6, **cost()}))


def _prepared(
    app: str, variant: str
) -> tuple[Callable[[], None], Callable[[], object], Callable[[], dict[str, float]]]:
    """Return what serves a request, what begins the variant, and what it tells."""
    serve = {"Flask": _flask, "Starlette": _starlette}[app]()
    if variant == "memray":
        import memray

        nowhere = memray.FileDestination("/dev/null", overwrite=True)
        return serve, memray.Tracker(destination=nowhere).__enter__, dict
    if variant in (_BARE, "tracemalloc"):
        return serve, tracemalloc.start if variant != _BARE else dict, dict
    return _watched(serve, looks=variant == _LOOKING)


def _watched(
    serve: Callable[[], None], *, looks: bool
) -> tuple[Callable[[], None], Callable[[], object], Callable[[], dict[str, float]]]:
    import leakguard
    from leakguard._runtime.monitor import process

    guard, work = leakguard.watch(), process().work

    def counted() -> None:
        work.begin()
        serve()
        work.end()

    look = threading.Thread(target=guard.investigate, args=(_LOOK_SECONDS,))

    def cost() -> dict[str, float]:
        look.join()
        return {"overhead": guard.report().cost.overhead_ratio or 0.0}

    return (counted, look.start, cost) if looks else (counted, dict, dict)


def _serve_for(seconds: float, serve: Callable[[], None]) -> int:
    requests, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        serve()
        requests += 1
    return requests


def _flask() -> Callable[[], None]:
    """Return what asks a Flask application for a page from a template."""
    from flask import Flask, render_template
    from jinja2 import DictLoader
    from werkzeug.test import EnvironBuilder

    app = Flask(__name__)
    page = "<ul>{% for row in rows %}<li>{{ row.name }}: {{ row.n }}</li>{% endfor %}"
    app.jinja_loader = DictLoader({"page": page})

    @app.get("/")
    def home() -> str:
        return render_template("page", rows=_table())

    environ = EnvironBuilder("/").get_environ()

    def serve() -> None:
        answer = app.wsgi_app(dict(environ), lambda *_: lambda _: None)
        size = sum(map(len, answer))
        answer.close()  # type: ignore[attr-defined]
        _check(size)

    return serve


def _starlette() -> Callable[[], None]:
    """Return what asks a Starlette application for rows as JSON."""
    import asyncio

    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def home(_request: object) -> JSONResponse:
        return JSONResponse(_table())

    app = Starlette(routes=[Route("/", home)])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    loop = asyncio.new_event_loop()

    async def receive() -> Any:  # noqa: ANN401 - ASGI's signature
        return {"type": "http.request", "body": b"", "more_body": False}

    def serve() -> None:
        sizes = []

        async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's signature
            sizes.append(len(message.get("body", b"")))

        loop.run_until_complete(app(dict(scope), receive, send))
        _check(sum(sizes))

    return serve


def _table() -> list[dict[str, object]]:
    return [{"name": f"product {n}", "n": n} for n in range(_ROWS)]


def _check(size: int) -> None:
    if size < 500:
        raise SystemExit(f"the application answered with {size} bytes")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in _APPS:
        _serve(*sys.argv[1:])
    else:
        main(NAME, BUDGET, run)
