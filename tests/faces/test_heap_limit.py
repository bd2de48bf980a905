"""The heap limit before an application: one request fails, and the process lives."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import subprocess
import sys
import urllib.error
import urllib.request
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults

import pytest

import leakguard
from leakguard import _middleware, _shortage
from leakguard.asgi import Middleware as AsgiMiddleware
from leakguard.wsgi import Middleware
from tests.faces.doors import Doorman

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = str(Path(leakguard.__file__).parents[1])
JSON = "application/json"


class Big:
    """What a request held when it failed."""


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Doorman:
    """Return a guard with a hard limit that the kernel knows nothing of."""
    monkeypatch.setattr(_middleware, "listen", lambda: True)
    return Doorman()


class Asked:
    """A request to a WSGI application that fails, and what its server was told."""

    def __init__(self, door: Doorman, *, begins: bool = False, **more: str) -> None:
        self.starts: list[tuple[str, bool]] = []
        self.held: weakref.ref[Big] | None = None
        self._begins = begins
        app = Middleware(self.fail, guard=door.guard)
        environ: dict[str, Any] = {"PATH_INFO": "/", "HTTP_ACCEPT": JSON, **more}
        setup_testing_defaults(environ)
        self.body = b"".join(app(environ, self.start))

    def start(self, status: str, _headers: object, error: Any = None) -> Any:  # noqa: ANN401
        if error is not None and self._begins:
            raise error[1]  # as a server does that has sent the headers
        self.starts.append((status, error is not None))

    def fail(self, _environ: object, start_response: Any) -> list[bytes]:  # noqa: ANN401
        if self._begins:
            start_response("200 OK", [])
        big = Big()
        self.held = weakref.ref(big)
        try:
            return self.starts[99]  # type: ignore[return-value]
        except IndexError:
            raise MemoryError  # noqa: B904 - as it happens


def test_a_request_without_memory_is_answered_503(
    door: Doorman, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Asked(door)
    assert asked.starts == [("503 Service Unavailable", True)]
    assert json.loads(asked.body)["error"] == "memory_pressure"
    assert 10 <= json.loads(asked.body)["retry_after_seconds"] <= 30
    assert door.work() == (1, 0)
    (told,) = caplog.messages
    assert "ran out of memory" in told
    assert "test_heap_limit.py:" in told
    assert asked.held is not None
    assert asked.held() is None  # the frames have let go


def test_without_a_hard_limit_the_error_is_the_servers(
    door: Doorman, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_middleware, "listen", lambda: False)
    with pytest.raises(MemoryError):
        Asked(door)
    with pytest.raises(MemoryError):
        ask_asgi(door, begins=False)
    assert door.work() == (2, 0)


def test_of_a_head_request_there_is_no_body(door: Doorman) -> None:
    assert Asked(door, REQUEST_METHOD="HEAD").body == b""


def test_a_response_that_has_begun_passes_the_error_on(door: Doorman) -> None:
    with pytest.raises(MemoryError):
        Asked(door, begins=True)
    assert door.work() == (1, 0)


def ask_asgi(door: Doorman, *, begins: bool) -> list[dict[str, Any]]:
    async def app(_scope: object, _receive: object, send: Any) -> None:  # noqa: ANN401
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise MemoryError

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:  # noqa: ANN401
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "http_version": "1.1",
        "headers": [(b"accept", JSON.encode())],
    }
    asyncio.run(AsgiMiddleware(app, guard=door.guard)(scope, receive, send))
    return sent


def test_an_asgi_request_without_memory_is_answered_503(door: Doorman) -> None:
    start, body = ask_asgi(door, begins=False)
    assert start["status"] == 503
    assert (b"connection", b"close") in start["headers"]
    assert json.loads(body["body"])["error"] == "memory_pressure"
    assert door.work() == (1, 0)


def test_an_asgi_response_that_has_begun_passes_the_error_on(door: Doorman) -> None:
    with pytest.raises(MemoryError):
        ask_asgi(door, begins=True)
    assert door.work() == (1, 0)


@pytest.mark.parametrize("begins", [False, True])
def test_an_aiohttp_request_without_memory(door: Doorman, *, begins: bool) -> None:
    pytest.importorskip("aiohttp")
    from aiohttp import ClientError, web
    from aiohttp.test_utils import TestClient, TestServer

    from leakguard.aiohttp import middleware

    async def fail(request: web.Request) -> web.StreamResponse:
        if begins:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"part")
        raise MemoryError

    async def talk() -> int:
        app = web.Application(middlewares=[middleware(door.guard)])
        app.router.add_get("/", fail)
        async with TestClient(TestServer(app)) as client:
            answer = await client.get("/")
            await answer.read()
            return answer.status

    if begins:
        with pytest.raises(ClientError):
            asyncio.run(talk())
    else:
        assert asyncio.run(talk()) == 503
    assert door.work() == (1, 0)


def test_a_chain_of_errors_that_is_a_ring_ends() -> None:
    first, second = MemoryError(), MemoryError()
    first.__context__, second.__context__ = second, first
    assert _shortage._forget(first) == "unknown"
    first.__context__ = second.__context__ = None
    del first, second
    gc.collect()


def test_what_was_freed_is_there_for_others_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    heap = SimpleNamespace(in_force=False, look=lambda: done.append("look"))
    home = SimpleNamespace(monitor=SimpleNamespace(heap=heap))
    monkeypatch.setattr(_shortage, "process", lambda: home)
    monkeypatch.setattr(_shortage, "trim_heap", lambda: done.append("trim"))
    _shortage._give_back()
    assert done == []  # nothing is limited
    heap.in_force = True
    _shortage._give_back()
    assert done == ["trim", "look"]


def handle(error: Exception, receiver: Any) -> None:  # noqa: ANN401
    """Send a signal as a framework does that is about to answer 500."""
    try:
        raise error
    except (MemoryError, ValueError):
        receiver(sender="app", exception=error)


def test_under_a_hard_limit_frameworks_let_it_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receivers: list[Any] = []
    signal = SimpleNamespace(connect=receivers.append)
    for name in ("flask.signals", "django.core.signals"):
        module = SimpleNamespace(got_request_exception=signal)
        monkeypatch.setitem(sys.modules, name, module)
    home = SimpleNamespace(monitor=SimpleNamespace(heap=SimpleNamespace(in_force=True)))
    monkeypatch.setattr(_shortage, "process", lambda: home)
    assert _shortage.listen()
    assert len(receivers) == 2
    with pytest.raises(MemoryError):
        handle(MemoryError(), receivers[0])
    handle(ValueError(), receivers[1])


def test_without_a_hard_limit_no_framework_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Signal:
        def connect(self, _receiver: object) -> None:
            raise AssertionError

    module = type(sys)("flask.signals")
    monkeypatch.setattr(module, "got_request_exception", Signal(), raising=False)
    monkeypatch.setitem(sys.modules, "flask.signals", module)
    assert not _shortage.listen()
    with leakguard.Guard(heap_limit="1 TB"):
        assert not _shortage.listen()
    _shortage._let_through()


def test_the_soft_limit_is_a_pressure_of_its_own() -> None:
    with leakguard.Guard(heap_limit="1 MiB") as guard:
        assert guard.pressure.source == "the heap limit given to the guard"
        assert guard.pressure.limit_bytes == 1 << 20
        assert guard.pressure.ratio is not None
        assert guard.pressure.ratio > 1
    with leakguard.Guard(heap_limit="1 TB") as guard:
        assert guard.pressure.source != "the heap limit given to the guard"


SERVER = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
import leakguard

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

def serve(app):
    # What the soft limit does is not what is tested here.
    policy = leakguard.Policy(dry_run=True)
    guard = leakguard.Guard(policy=policy, heap_limit="150 MiB", hard=True, budget=0)
    server = make_server("127.0.0.1", 0, leakguard.wsgi.Middleware(app, guard=guard),
                         server_class=Server)
    print(server.server_port, flush=True)
    server.serve_forever()

def work(kind):
    if kind == "one":
        return bytearray(1 << 30)
    kept = []
    while kind == "many":
        kept.append(b"x" * 100_000 + str(len(kept)).encode())
    return b"fine"
"""
FLASK = """
import flask
app = flask.Flask("app")

@app.get("/<kind>")
def page(kind):
    if kind == "broken":
        1 / 0
    return bytes(work(kind))

serve(app)
"""
DJANGO = """
import django.conf, django.http, django.urls
from django.core.wsgi import get_wsgi_application

def page(request, kind):
    if kind == "broken":
        1 / 0
    return django.http.HttpResponse(bytes(work(kind)))

urlpatterns = [django.urls.path("<kind>", page)]
django.conf.settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
serve(get_wsgi_application())
"""


@contextmanager
def served(code: str) -> Iterator[int]:
    """Run a server in a process of its own; yield its port."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=SOURCE,
    ) as child:
        try:
            assert child.stdout is not None
            yield int(child.stdout.readline())
            assert child.poll() is None
        finally:
            child.kill()


def status(port: int, path: str) -> int | None:
    """Return the answer's status; ``None`` where not even an answer found memory."""
    try:
        url = f"http://127.0.0.1:{port}{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except http.client.RemoteDisconnected:
        return None


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA as Linux has it")
@pytest.mark.parametrize(("framework", "code"), [("flask", FLASK), ("django", DJANGO)])
def test_a_real_server_survives_requests_that_want_too_much(
    framework: str, code: str
) -> None:
    pytest.importorskip(framework)
    with served(code) as port:
        asked = ("fine", "one", "fine", "many", "fine", "broken", "many", "fine")
        found = [(kind, status(port, f"/{kind}")) for kind in asked]
    expected = {
        "fine": {200},
        "broken": {500},
        "one": {503},
        "many": {503, None},  # the server itself may be the one that gets none
    }
    assert [one for one in found if one[1] not in expected[one[0]]] == []
    assert ("many", 503) in found


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA as Linux has it")
def test_a_real_server_survives_several_of_them_at_once() -> None:
    pytest.importorskip("flask")
    with served(FLASK) as port:
        with ThreadPoolExecutor(3) as clients:
            asked = ["/many", "/fine"] * 24
            found = [*clients.map(partial(status, port), asked)]
        assert status(port, "/fine") == 200  # it has not stopped to take requests
    assert {*found[::2]} <= {503, None}
    assert {*found[1::2]} <= {200, 503, None}
    assert {200, 503} <= {*found}
