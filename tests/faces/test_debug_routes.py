"""The debug routes behind real servers: what reaches them, and what never does."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import leakguard
from leakguard import asgi, wsgi
from leakguard._middleware import ask_debug
from leakguard.routes import DebugRoutes
from tests.faces.asgi_server import Connection, scope
from tests.faces.doors import Doorman
from tests.faces.test_asgi import uvicorn_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard.asgi import Application, Receive, Scope, Send

SOURCE = str(Path(leakguard.__file__).parents[1])
TOKEN = "a-token-of-the-tests-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PROOF = {"X-Leakguard": "1"}
PATIENCE_SECONDS = 20.0
MISSING = b"no such page"


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Server(NamedTuple):
    """Where a server listens, and what is known of its kind."""

    host: str
    port: int
    trusts_loopback: bool = True
    tells_raw_paths: bool = True

    def ask(self, method: str, path: str, **headers: str) -> Got:
        client = http.client.HTTPConnection(self.host, self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        client.request(method, path, headers=named)
        with client.getresponse() as answer:
            found = {name.lower(): value for name, value in answer.getheaders()}
            got = Got(answer.status, found, answer.read())
        client.close()
        return got

    def send(self, text: bytes, last: bytes = b"") -> bytes:
        """Send bytes as they are, and return what comes until ``last`` or the end."""
        with socket.create_connection((self.host, self.port), timeout=10) as client:
            client.sendall(text)
            found = b""
            while part := client.recv(65536):
                found += part
                if last and found.endswith(last):
                    break
            return found


def routes(place: Path, **options: Any) -> DebugRoutes:  # noqa: ANN401
    options = {
        "token": TOKEN,
        "loopback": True,
        "allow_gc": True,
        "directory": place / "board",
        **options,
    }
    return DebugRoutes(**options)


def wsgi_app(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [MISSING]


async def asgi_app(asked: Scope, _receive: Receive, send: Send) -> None:
    assert asked["type"] == "http"
    start = {"type": "http.response.start", "status": 404, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": MISSING})


@contextmanager
def wsgiref_server(guard: leakguard.Guard, debug: DebugRoutes) -> Iterator[Server]:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    app = wsgi.Middleware(wsgi_app, guard, debug=debug)
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Server("127.0.0.1", server.server_port, tells_raw_paths=False)
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def waitress_server(guard: leakguard.Guard, debug: DebugRoutes) -> Iterator[Server]:
    waitress = pytest.importorskip("waitress")
    app = wsgi.Middleware(wsgi_app, guard, debug=debug)
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=2)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Server("127.0.0.1", server.effective_port, trusts_loopback=False)
    finally:
        server.trigger.pull_trigger(server.close)
        thread.join(PATIENCE_SECONDS)
        server.task_dispatcher.shutdown()


@contextmanager
def uvicorn_serving(
    guard: leakguard.Guard,
    debug: DebugRoutes,
    **options: Any,  # noqa: ANN401
) -> Iterator[Server]:
    app = asgi.Middleware(asgi_app, guard, debug=debug)
    with uvicorn_server(app, **options) as url:
        yield Server("127.0.0.1", int(url.rpartition(":")[2]))


@contextmanager
def aiohttp_server(guard: leakguard.Guard, debug: DebugRoutes) -> Iterator[Server]:
    pytest.importorskip("aiohttp")
    from aiohttp import web

    from leakguard.aiohttp import middleware

    async def missing(_request: web.Request) -> web.Response:
        return web.Response(status=404, body=MISSING)

    app = web.Application(middlewares=[middleware(guard, debug=debug)])
    app.router.add_route("*", "/{rest:.*}", missing)
    ports: list[int] = []
    ended = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        loops.append(asyncio.get_running_loop())
        await ended.wait()
        await runner.cleanup()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not loops:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield Server("127.0.0.1", ports[0])
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(PATIENCE_SECONDS)


SERVERS: dict[str, Any] = {
    "wsgiref": wsgiref_server,
    "waitress": waitress_server,
    "uvicorn": uvicorn_serving,
    "aiohttp": aiohttp_server,
}


@pytest.fixture
def guard() -> Iterator[leakguard.Guard]:
    made = leakguard.Guard()
    yield made
    made.stop()


@pytest.fixture(params=SERVERS)
def server(
    request: pytest.FixtureRequest, guard: leakguard.Guard, tmp_path: Path
) -> Iterator[Server]:
    with SERVERS[request.param](guard, routes(tmp_path)) as served:
        yield served


def unlike_date(got: Got) -> Got:
    kept = {name: value for name, value in got.headers.items() if name != "date"}
    return got._replace(headers=kept)


# --- each server


def test_it_answers_this_host_and_who_has_the_token(server: Server) -> None:
    known = {} if server.trusts_loopback else BEARER
    got = server.ask("GET", "/debug/memory", **known)
    assert got.status == 200
    found = json.loads(got.body)
    assert found["pid"] == os.getpid()
    assert found["rss"].endswith("MiB")
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert not any(name.startswith("access-control") for name in got.headers)
    head = server.ask("HEAD", "/debug/memory", **known)
    assert (head.status, head.body) == (200, b"")
    assert server.ask("POST", "/debug/gc", **PROOF, **known).status == 200
    assert server.ask("POST", "/debug/gc", **known).status == 403
    got = server.ask("OPTIONS", "/debug/gc", **known)
    assert (got.status, got.headers["allow"]) == (405, "POST")
    text = server.ask("GET", "/debug/memory/report?format=text", **known)
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    # By the token it makes no difference how it came.
    got = server.ask("GET", "/debug/memory", **BEARER, X_Forwarded_For="192.0.2.7")
    assert got.status == 200


def test_to_strangers_it_is_like_any_path_that_does_not_exist(server: Server) -> None:
    for headers in (
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {"Authorization": f"Bearer {TOKEN}x", "X-Forwarded-For": "::1"},
    ):
        for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
            unknown = server.ask(method, "/debug/nothing", **PROOF, **headers)
            for path in ("/debug/memory", "/debug/gc"):
                got = server.ask(method, path, **PROOF, **headers)
                assert unlike_date(got) == unlike_date(unknown)
                assert got.status == 404


def test_a_path_in_another_spelling_gets_past_nothing(server: Server) -> None:
    for path in (
        *("//debug/gc", "/debug//gc", "/debug%2Fgc", "/%64ebug/gc", "/debug/gc/"),
        *("/./debug/gc", "/x/../debug/gc", "/x/%2e%2e/debug/gc", "/debug/gc;a=b"),
        *("/debug/gc%00", "/debug/gc%20", "/DEBUG/GC"),
    ):
        for more in ("", f"Authorization: Bearer {TOKEN}\r\n"):
            if more and not server.tells_raw_paths:
                continue  # then who may come in anyway may spell it as they like
            got = server.send(
                f"POST {path} HTTP/1.1\r\nHost: evil.example\r\nX-Leakguard: 1\r\n"
                f"X-HTTP-Method-Override: POST\r\n{more}Content-Length: 0\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            assert got.startswith((b"HTTP/1.1 40", b"HTTP/1.0 40")), path
            assert b"collected_objects" not in got, path


def test_headers_cannot_be_injected(server: Server) -> None:
    for query in ("x=%0d%0aSet-Cookie:%20a=b", "format=%0d%0a%0d%0a<script>"):
        got = server.ask("GET", f"/debug/memory/report?{query}", **BEARER)
        assert got.status == 400
        assert "set-cookie" not in got.headers
        assert b"script" not in got.body


def test_a_body_that_never_comes_is_not_waited_for(server: Server) -> None:
    if not server.trusts_loopback:
        pytest.skip("waitress reads the whole body before it calls the application")
    begun = time.monotonic()
    got = server.send(
        b"POST /debug/gc HTTP/1.1\r\nHost: localhost\r\nX-Leakguard: 1\r\n"
        b"Content-Length: 1000000000\r\n\r\nonly so much",
        last=b"}\n",
    )
    assert time.monotonic() - begun < 5
    assert b" 200 " in got.partition(b"\r\n")[0]
    assert b"collected_objects" in got


def test_waitress_takes_away_what_a_proxy_is_known_by(
    guard: leakguard.Guard, tmp_path: Path
) -> None:
    with waitress_server(guard, routes(tmp_path)) as server:
        assert server.ask("GET", "/debug/memory").body == MISSING
        assert server.ask("GET", "/debug/memory", X_Forwarded_For="::1").status == 404


# --- where peers are told of in other ways


def test_uvicorn_may_rewrite_the_peer_as_it_likes(
    guard: leakguard.Guard, tmp_path: Path
) -> None:
    trusting = {"proxy_headers": True, "forwarded_allow_ips": "*"}
    with uvicorn_serving(guard, routes(tmp_path), **trusting) as server:
        assert server.ask("GET", "/debug/memory").status == 200
        for claimed in ("127.0.0.1", "::1", "10.0.0.1", ""):
            got = server.ask("GET", "/debug/memory", X_Forwarded_For=claimed)
            assert (got.status, got.body) == (404, MISSING)


def test_the_peer_of_a_unix_socket_is_a_stranger(
    guard: leakguard.Guard, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    app = asgi.Middleware(asgi_app, guard, debug=routes(tmp_path))
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(app, uds=path, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        for headers, status in (({}, b" 404 "), (BEARER, b" 200 ")):
            more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(
                    "GET /debug/memory HTTP/1.1\r\nHost: localhost\r\n"
                    f"{more}Connection: close\r\n\r\n".encode()
                )
                got = b"".join(iter(lambda: client.recv(65536), b""))
            assert status in got.partition(b"\r\n")[0]
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)


def test_loopback_of_version_6(guard: leakguard.Guard, tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_INET6)
    try:
        listening.bind(("::1", 0))
    except OSError:
        listening.close()
        pytest.skip("no IPv6 here")
    app = asgi.Middleware(asgi_app, guard, debug=routes(tmp_path))
    uvicorn = pytest.importorskip("uvicorn")
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        served = Server("::1", listening.getsockname()[1])
        assert served.ask("GET", "/debug/memory").status == 200
        assert served.ask("GET", "/debug/memory", Via="1.1 proxy").status == 404
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)


# --- beside the application


def environ(path: str, **more: object) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        **more,
    }


def test_they_are_admitted_under_any_pressure_and_not_counted(tmp_path: Path) -> None:
    door = Doorman()
    app = wsgi.Middleware(wsgi_app, door.guard, debug=routes(tmp_path))
    door.close()

    def ask(path: str, **more: object) -> str:
        said: list[str] = []
        start: Any = lambda status, *_: said.append(status)  # noqa: E731
        list(app(environ(path, REQUEST_METHOD="POST", **more), start))
        return said[0]

    assert ask("/debug/gc", HTTP_X_LEAKGUARD="1").startswith("200")
    assert ask("/debug/nothing", HTTP_X_LEAKGUARD="1").startswith("503")
    # A stranger is refused there as anywhere.
    asked = {"HTTP_X_LEAKGUARD": "1", "HTTP_X_FORWARDED_FOR": "::1"}
    assert ask("/debug/gc", **asked).startswith("503")
    assert door.work() == (0, 0)


def test_without_debug_routes_there_are_none(guard: leakguard.Guard) -> None:
    said: list[str] = []
    start: Any = lambda status, *_: said.append(status)  # noqa: E731
    wsgi.Middleware(wsgi_app, guard)(environ("/debug/memory"), start)
    assert said == ["404 Not Found"]


def test_what_is_mounted_must_be_debug_routes() -> None:
    for wrong in (True, "/debug", DebugRoutes):
        with pytest.raises(leakguard.LeakguardError, match="debug is a"):
            wsgi.Middleware(wsgi_app, debug=wrong)  # type: ignore[arg-type]


def test_where_no_guard_can_be_made_the_application_answers(tmp_path: Path) -> None:
    class Broken(Doorman):
        def start(self) -> None:
            raise leakguard.LeakguardError("no")

    said: list[str] = []
    start: Any = lambda status, *_: said.append(status)  # noqa: E731
    app = wsgi.Middleware(wsgi_app, Broken().guard, debug=routes(tmp_path))
    app(environ("/debug/memory"), start)
    assert said == ["404 Not Found"]


def test_below_a_prefix_the_path_of_the_application_is_meant(tmp_path: Path) -> None:
    app = asgi.Middleware(asgi_app, Doorman().guard, debug=routes(tmp_path))
    asked = {
        "root_path": "/v1",
        "client": ("127.0.0.1", 1),
        "method": "POST",
        "headers": [(b"host", b"localhost"), (b"x-leakguard", b"1")],
    }
    for path, status in (("/v1/debug/gc", 200), ("/v2/debug/gc", 404)):
        connection = Connection(scope("http", path, **asked))
        connection.run(app)
        assert connection.status == status
    assert connection.received == 0


def test_a_websocket_at_such_a_path_is_the_applications(tmp_path: Path) -> None:
    seen: list[str] = []

    async def app(asked: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(asked["type"])

    asked = scope("websocket", "/debug/memory", client=("127.0.0.1", 1))
    given: Any = (asked, None, None)
    asyncio.run(
        _awaited(asgi.Middleware(app, Doorman().guard, debug=routes(tmp_path)), given)
    )
    assert seen == ["websocket"]


async def _awaited(app: Application, given: Any) -> None:  # noqa: ANN401
    await app(*given)


def test_a_slow_answer_does_not_hold_the_event_loop(
    guard: leakguard.Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debug = routes(tmp_path)
    answer = debug.answer

    def slow(*arguments: Any) -> Any:  # noqa: ANN401
        time.sleep(0.4)
        return answer(*arguments)

    monkeypatch.setattr(debug, "answer", slow)
    app = asgi.Middleware(asgi_app, guard, debug=debug)
    asked = {"client": ("127.0.0.1", 1), "headers": [(b"host", b"localhost")]}
    connection = Connection(scope("http", "/debug/memory", **asked))

    async def serve() -> list[float]:
        guard.start()
        task = asyncio.create_task(connection.handled_by(app))
        turns = []
        while not task.done():
            turns.append(time.monotonic())
            await asyncio.sleep(0.005)
        await task
        return turns

    turns = asyncio.run(serve())
    assert connection.status == 200
    longest = max(b - a for a, b in pairwise(turns))
    assert longest < 0.3, longest


def test_beside_another_event_loop_it_is_answered_at_once(tmp_path: Path) -> None:
    door = asgi.Middleware(asgi_app, Doorman().guard, debug=routes(tmp_path))._door
    door.find_gate()
    asked = asgi._request(
        scope(
            "http",
            "/debug/gc",
            method="POST",
            client=("127.0.0.1", 1),
            headers=[(b"host", b"localhost"), (b"x-leakguard", b"1")],
        ),
        "/debug/gc",
    )
    with pytest.raises(StopIteration) as ended:  # as trio would run it
        ask_debug(door, asked).send(None)
    assert ended.value.value.status == 200


# --- several workers

WORKERS = """
import sys, time
sys.path.insert(0, {source!r})
import leakguard.asgi, leakguard.routes

async def pages(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({{"type": "lifespan.startup.complete"}})
        return await send({{"type": "lifespan.shutdown.complete"}})
    time.sleep(0.4 if scope["path"] == "/busy" else 0)  # the whole worker
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"page"}})

app = leakguard.asgi.Middleware(pages, debug=leakguard.routes.DebugRoutes())

if __name__ == "__main__":
    import uvicorn
    uvicorn.run("served:app", port={port}, workers=2, log_level="critical")
"""


@pytest.mark.slow
def test_each_of_two_workers_answers_for_both(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "served.py").write_text(WORKERS.format(source=SOURCE, port=port))
    surroundings = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "served.py"], cwd=tmp_path, env=surroundings
    ) as process:
        try:
            server = Server("127.0.0.1", port)
            answering, rows = _until_both_answer_for_both(server)
            assert len(answering) == 2
            assert {row["pid"] for row in rows} == answering
            assert all(row["rss_bytes"] > 1 << 20 for row in rows)
            _check_that_both_know_of_an_investigation(server, answering)
            _check_that_both_have_a_baseline(server, answering)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
    (board,) = tmp_path.glob("leakguard-*")
    assert board.stat().st_mode & 0o777 == 0o700


def _ask_both(server: Server, path: str) -> Iterator[Got]:
    """Ask whichever worker takes the request, and one while the other may be busy."""
    yield server.ask("GET", path)
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        client.sendall(b"GET /busy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(0.1)
        yield server.ask("GET", path)
        assert b"page" in b"".join(iter(lambda: client.recv(65536), b""))


def _until_both_answer_for_both(server: Server) -> tuple[set[int], list[Any]]:
    answering: set[int] = set()
    rows: list[Any] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(answering) < 2 or len(rows) < 2:
        assert time.monotonic() < deadline, (answering, rows)
        with suppress(OSError):  # not there yet
            for got in _ask_both(server, "/debug/memory"):
                found = json.loads(got.body)
                answering.add(found["pid"])
                rows = found["workers"]
        time.sleep(0.3)
    return answering, rows


def _check_that_both_know_of_an_investigation(server: Server, pids: set[int]) -> None:
    got = server.ask("POST", "/debug/memory/investigate?seconds=0.3", **PROOF)
    found = json.loads(got.body)
    assert (got.status, found["pid"] in pids) == (202, True)
    time.sleep(1.5)
    for _ in range(6):  # whichever it is that answers
        got = server.ask("GET", found["report"])
        assert got.status == 200
        assert json.loads(got.body)["program"]["pid"] == found["pid"]


def _check_that_both_have_a_baseline(server: Server, pids: set[int]) -> None:
    got = server.ask("POST", "/debug/memory/baseline?name=before", **PROOF)
    assert got.status == 200
    compared: set[int] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while compared != pids:
        assert time.monotonic() < deadline
        for got in _ask_both(server, "/debug/memory/diff?baseline=before"):
            if got.status == 200:
                compared.add(json.loads(got.body)["pid"])
        time.sleep(2.0)  # else it were too often
