"""The ASGI middleware: every request counted once, refusals, what servers rely on."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from leakguard import LeakguardError
from leakguard.asgi import Middleware
from tests.faces.asgi_server import Connection, scope
from tests.faces.doors import RETRY_SECONDS, Doorman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leakguard.asgi import Application, Receive, Scope, Send

PATIENCE_SECONDS = 20.0
BODY = {"type": "http.request", "body": b"", "more_body": False}
CONNECT = {"type": "websocket.connect"}
DENIAL = {"websocket.http.response": {}}


@pytest.fixture
def door() -> Doorman:
    return Doorman()


async def pages(asked: Scope, receive: Receive, send: Send) -> None:
    """Answer with two parts, or greet and close."""
    if asked["type"] == "websocket":
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close", "code": 1000})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for more in (True, False):
        part = {"type": "http.response.body", "body": b"part", "more_body": more}
        await send(part)


async def unreachable(*_: object) -> None:
    pytest.fail("the application is not to be reached")


def ask(app: Application, path: str = "/", **more: object) -> Connection:
    connection = Connection(scope("http", path, **more), BODY)
    connection.run(app)
    return connection


# --- counting


def test_a_request_is_counted_from_its_beginning_to_its_end(door: Doorman) -> None:
    seen = []

    async def app(asked: Scope, receive: Receive, send: Send) -> None:
        seen.append(door.work())
        await pages(asked, receive, send)
        seen.append(door.work())  # as a background task of Starlette's

    found = ask(Middleware(app, door.guard))
    assert (found.status, found.body) == (200, b"partpart")
    assert seen == [(0, 1), (0, 1)]
    assert door.work() == (1, 0)


@pytest.mark.parametrize("error", [ValueError, MemoryError, OSError, KeyboardInterrupt])
def test_a_request_whose_application_raises_ends(
    door: Doorman, error: type[BaseException]
) -> None:
    async def app(*_: object) -> None:
        raise error

    with pytest.raises(error):
        ask(Middleware(app, door.guard))
    assert door.work() == (1, 0)


def test_a_request_that_is_cancelled_ends(door: Doorman) -> None:
    async def app(*_: object) -> None:
        await asyncio.Event().wait()

    async def serve() -> None:
        connection = Connection(scope())
        task = asyncio.create_task(connection.handled_by(Middleware(app, door.guard)))
        await asyncio.sleep(0)
        assert door.work() == (0, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(serve())
    assert door.work() == (1, 0)


def test_a_request_that_is_let_go_of_ends(door: Doorman) -> None:
    class Forever:
        def __await__(self) -> Iterator[None]:
            yield None

    async def app(*_: object) -> None:
        await Forever()

    async def nothing() -> dict[str, Any]:
        return {}

    async def nowhere(_message: object) -> None:
        pass

    handled = Middleware(app, door.guard)(scope(), nothing, nowhere)
    never_begun = Middleware(app, door.guard)(scope(), nothing, nowhere)
    handled.send(None)
    assert door.work() == (0, 1)
    handled.close()
    never_begun.close()
    assert door.work() == (1, 0)


def test_a_websocket_is_under_way_until_it_ends(door: Doorman) -> None:
    connection = Connection(scope("websocket"), CONNECT)
    connection.run(Middleware(pages, door.guard))
    assert [message["type"] for message in connection.sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert door.work() == (1, 0)


# --- what passes untouched


@pytest.mark.parametrize("kind", ["lifespan", "mqtt", "telnet"])
def test_other_scopes_pass_untouched(door: Doorman, kind: str) -> None:
    seen = []

    async def app(*arguments: object) -> None:
        seen.append(arguments)

    door.close()
    given: Any = ({"type": kind}, object(), object())
    asyncio.run(Middleware(app, door.guard)(*given))
    (got,) = seen
    assert all(one is other for one, other in zip(got, given, strict=True))
    assert door.work() == (0, 0)
    assert door.starts == 0


def test_scope_receive_and_send_reach_the_application_as_they_are(
    door: Doorman,
) -> None:
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:  # noqa: ANN401
        seen.extend(arguments)
        await pages(*arguments)

    connection = Connection(scope(), BODY)
    connection.run(Middleware(app, door.guard))
    assert seen[0] is connection.scope
    assert seen[1:] == [connection.receive, connection.send]


def test_context_variables_pass_both_ways(door: Doorman) -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="none")
    seen = []

    async def app(*arguments: Any) -> None:  # noqa: ANN401
        seen.append(user.get())
        user.set("set by the application")
        await pages(*arguments)

    async def outer(asked: Scope, receive: Receive, send: Send) -> None:
        user.set("set by the server")
        await Middleware(app, door.guard)(asked, receive, send)
        seen.append(user.get())

    ask(outer)
    assert seen == ["set by the server", "set by the application"]


# --- refusing


def test_a_refusal_reads_no_body_and_does_not_reach_the_application(
    door: Doorman,
) -> None:
    door.close()
    app = Middleware(unreachable, door.guard)
    for method in ("POST", "OPTIONS", "HEAD"):
        headers = [(b"expect", b"100-continue"), (b"content-length", b"9")]
        connection = Connection(scope(method=method, headers=headers))
        connection.run(app)
        assert connection.received == 0
        assert connection.status == 503
        assert connection.headers[b"retry-after"] == b"%d" % RETRY_SECONDS
        assert connection.headers[b"connection"] == b"close"
        assert bool(connection.body) == (method != "HEAD")
    assert json.loads(ask(app).body)["error"] == "memory_pressure"
    assert door.work() == (0, 0)


def test_a_browser_is_refused_in_words(door: Doorman) -> None:
    door.close()
    headers = [(b"accept", b"text/html"), (b"accept", b"*/*;q=0.1")]
    found = ask(Middleware(unreachable, door.guard), headers=headers)
    assert b"short of memory" in found.body


@pytest.mark.parametrize(
    ("version", "closes"), [("1.0", True), ("1.1", True), ("2", False), ("3", False)]
)
def test_the_connection_is_closed_where_there_is_a_header_for_it(
    door: Doorman, version: str, *, closes: bool
) -> None:
    door.close()
    found = ask(Middleware(unreachable, door.guard), http_version=version)
    assert (b"connection" in found.headers) == closes


def test_a_websocket_is_refused_with_the_answer_where_the_server_can(
    door: Doorman,
) -> None:
    door.close()
    connection = Connection(scope("websocket", extensions=DENIAL), CONNECT)
    connection.run(Middleware(unreachable, door.guard))
    assert connection.status == 503
    assert b"retry-after" in connection.headers
    assert json.loads(connection.body)["level"] == "critical"


@pytest.mark.parametrize("left", [(), ("extensions",)])
def test_a_websocket_is_refused_before_it_is_accepted(
    door: Doorman, left: tuple[str, ...]
) -> None:
    door.close()
    connection = Connection(scope("websocket"), CONNECT)
    for name in left:
        del connection.scope[name]
    connection.run(Middleware(unreachable, door.guard))
    assert connection.sent == [{"type": "websocket.close", "code": 1013}]


def test_a_client_that_is_gone_is_refused_in_silence(door: Doorman) -> None:
    door.close()
    app = Middleware(unreachable, door.guard)
    for kind, extensions in (("http", {}), ("websocket", {}), ("websocket", DENIAL)):
        asked = scope(kind, extensions=extensions)
        Connection(asked, CONNECT, gone=ConnectionResetError()).run(app)
    gone = Connection(scope("websocket"), {"type": "websocket.disconnect"})
    gone.run(app)
    assert gone.sent == []


def test_what_is_under_way_is_not_cut(door: Doorman) -> None:
    async def app(asked: Scope, receive: Receive, send: Send) -> None:
        door.close()
        await pages(asked, receive, send)

    assert ask(Middleware(app, door.guard)).body == b"partpart"


def test_priorities_by_path(door: Doorman) -> None:
    app = Middleware(
        pages, door.guard, priority={"/admin/*": "critical", "/Größe": "critical"}
    )
    door.close()
    for path in ("/healthz", "/admin/users", "/Größe"):
        assert ask(app, path).status == 200, path
        # Mounted below a prefix, the path of the application is meant.
        assert ask(app, f"/v1{path}", root_path="/v1").status == 200, path
        assert ask(app, f"/v1{path}").status == 503, path
    assert ask(app, "/v1x/healthz", root_path="/v1").status == 503


def test_priorities_by_a_callable(
    door: Doorman, caplog: pytest.LogCaptureFixture
) -> None:
    def priority(asked: Scope) -> Any:  # noqa: ANN401
        return {b"vip": "critical", b"odd": "urgent"}[dict(asked["headers"])[b"user"]]

    app = Middleware(pages, door.guard, priority=priority)
    door.close()
    with caplog.at_level(logging.WARNING, "leakguard"):
        assert ask(app, headers=[(b"user", b"vip")]).status == 200
        assert ask(app, headers=[(b"user", b"odd")]).status == 503
        assert ask(app, headers=[(b"user", b"secret")]).status == 503
        assert ask(app).status == 503
    assert app._door.failures == 3
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_clients_are_told_apart_under_pressure_only(door: Doorman) -> None:
    app = Middleware(pages, door.guard)
    ask(app)
    door.close()
    ask(app)
    ask(app, headers=[(b"x-forwarded-for", b"192.0.2.7")])
    ask(app, client=None)
    ask(Middleware(pages, door.guard, client_key=lambda asked: asked["path"]), "/ann")
    assert door.keys == ["10.0.0.1", "192.0.2.7", None, "/ann"]


def test_connections_end_while_new_requests_should_go_elsewhere(door: Doorman) -> None:
    app = Middleware(pages, door.guard, priority={"/*": "critical"})
    assert b"connection" not in ask(app).headers
    door.close(ready=True)
    assert b"connection" not in ask(app).headers
    door.close()
    found = ask(app)
    assert (found.status, found.headers[b"connection"]) == (200, b"close")
    assert b"connection" not in ask(app, http_version="2").headers


# --- readiness


def test_the_readiness_route_is_answered_here_and_not_counted(door: Doorman) -> None:
    app = Middleware(unreachable, door.guard, readiness_path="/up")
    found = ask(app, "/up")
    assert (found.status, found.body) == (200, b'{"ready": true}')
    assert b"connection" not in found.headers
    door.close()
    assert ask(app, "/up").status == 503
    assert ask(app, "/up", method="HEAD").body == b""
    assert door.work() == (0, 0)
    socket_there = Connection(scope("websocket", "/up"), CONNECT)
    socket_there.run(app)
    assert socket_there.sent[0]["type"] == "websocket.close"


def test_options_that_make_no_sense_are_said_at_once() -> None:
    with pytest.raises(LeakguardError):
        Middleware(pages, readiness_path="up")


# --- a real server


@contextmanager
def uvicorn_server(app: Application, **options: Any) -> Iterator[str]:  # noqa: ANN401
    uvicorn = pytest.importorskip("uvicorn")
    options = {"log_level": "critical", "lifespan": "off", **options}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, **options))
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run)
    thread.start()
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not server.started:
        assert thread.is_alive() and time.monotonic() < give_up_at  # noqa: PT018
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)


def fetch(url: str, method: str = "GET") -> tuple[int, bytes, Any]:
    asked = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as got:
            return got.status, got.read(), got.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def test_uvicorn_serves_and_refuses(door: Doorman) -> None:
    with uvicorn_server(Middleware(pages, door.guard, readiness_path="/up")) as url:
        assert fetch(url)[:2] == (200, b"partpart")
        assert fetch(f"{url}/up")[:2] == (200, b'{"ready": true}')
        door.close()
        status, body, headers = fetch(url)
        assert (status, headers["Retry-After"]) == (503, str(RETRY_SECONDS))
        assert headers["Connection"] == "close"
        assert json.loads(body)["level"] == "critical"
        assert fetch(url, "HEAD")[:2] == (503, b"")
        assert fetch(f"{url}/healthz")[0] == 200
    assert door.work() == (2, 0)


def test_uvicorn_is_told_not_to_ask_for_the_body_of_a_refused_request(
    door: Doorman,
) -> None:
    door.close()
    with uvicorn_server(Middleware(unreachable, door.guard)) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
                b"Expect: 100-continue\r\n\r\n"
            )
            answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")  # and no "100 Continue" before it


@pytest.mark.parametrize("kind", ["websockets-sansio", "wsproto"])
def test_uvicorn_refuses_a_websocket_with_the_answer(door: Doorman, kind: str) -> None:
    pytest.importorskip(kind.partition("-")[0])
    door.close()
    with uvicorn_server(Middleware(unreachable, door.guard), ws=kind) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"memory_pressure" in answer
