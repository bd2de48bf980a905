"""The aiohttp middleware: every request counted once, refusals, a real server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from leakguard import LeakguardError
from leakguard.aiohttp import middleware
from tests.faces.doors import RETRY_SECONDS, Doorman

pytest.importorskip("aiohttp")

from aiohttp import web
from aiohttp.test_utils import TestClient as Client
from aiohttp.test_utils import TestServer as Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Talk = Callable[[Client[Any, Any]], Awaitable[None]]


@pytest.fixture
def door() -> Doorman:
    return Doorman()


async def page(request: web.Request) -> web.Response:
    return web.Response(text=request.path)


async def broken(_request: web.Request) -> web.Response:
    raise ValueError


async def gone(_request: web.Request) -> web.Response:
    raise web.HTTPGone


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(3):
        await response.write(b"part")
    return response


async def greet(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("hello")
    await socket.close()
    return socket


def talk(talks: Talk, door: Doorman, **options: Any) -> None:  # noqa: ANN401
    """Talk over loopback with an application behind the middleware."""

    async def main() -> None:
        app = web.Application(middlewares=[middleware(door.guard, **options)])
        app.router.add_get("/broken", broken)
        app.router.add_get("/gone", gone)
        app.router.add_get("/stream", stream)
        app.router.add_get("/socket", greet)
        app.router.add_route("*", "/{rest:.*}", page)
        async with Client(Server(app)) as client:
            await talks(client)

    asyncio.run(main())


def test_every_request_is_counted_once(door: Doorman) -> None:
    async def talks(client: Client[Any, Any]) -> None:
        statuses = [
            (await client.get(path)).status
            for path in ("/", "/broken", "/gone", "/stream")
        ]
        assert statuses == [200, 500, 410, 200]
        async with client.ws_connect("/socket") as socket:
            assert await socket.receive_str() == "hello"

    talk(talks, door)
    assert door.work() == (5, 0)


def test_a_refusal_does_not_reach_the_handler(door: Doorman) -> None:
    async def talks(client: Client[Any, Any]) -> None:
        door.close()
        for method in ("GET", "POST", "HEAD", "OPTIONS"):
            async with client.request(method, "/broken") as got:
                assert got.status == 503
                assert got.headers["Retry-After"] == str(RETRY_SECONDS)
                assert got.headers["Cache-Control"] == "no-store"
                assert got.headers["Connection"] == "close"
                assert got.headers.getall("Content-Type") == ["application/json"]
                if method != "HEAD":
                    assert json.loads(await got.read())["level"] == "critical"
        async with client.get("/", headers={"Accept": "text/html"}) as got:
            assert "short of memory" in await got.text()
        async with client.get("/socket", headers={"Upgrade": "websocket"}) as got:
            assert got.status == 503

    talk(talks, door)
    assert door.work() == (0, 0)


def test_priorities_clients_and_readiness(door: Doorman) -> None:
    async def talks(client: Client[Any, Any]) -> None:
        async def statuses(*paths: str, **headers: str) -> list[int]:
            return [(await client.get(path, headers=headers)).status for path in paths]

        assert await statuses("/up") == [200]
        door.close()
        assert await statuses("/up", "/healthz", "/vip/1", "/") == [503, 200, 200, 503]
        assert set(door.keys) == {"127.0.0.1"}
        assert await statuses("/", **{"X-Forwarded-For": "192.0.2.7"}) == [503]
        assert door.keys[-1] == "192.0.2.7"

    talk(talks, door, priority={"/vip/*": "critical"}, readiness_path="/up")


def test_callables_get_the_request(door: Doorman) -> None:
    async def talks(client: Client[Any, Any]) -> None:
        door.close()
        assert (await client.get("/?vip=1")).status == 200
        assert (await client.get("/")).status == 503
        assert door.keys == ["GET", "GET"]

    def priority(request: web.Request) -> Any:  # noqa: ANN401
        return "critical" if request.query else "normal"

    talk(talks, door, priority=priority, client_key=lambda request: request.method)


def test_options_that_make_no_sense_are_said_at_once() -> None:
    with pytest.raises(LeakguardError):
        middleware(readiness_path="up")
