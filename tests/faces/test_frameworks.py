"""One line installs a middleware in each framework, as the documentation shows."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults

import pytest

from leakguard import asgi, wsgi
from tests.faces.asgi_server import Connection, scope
from tests.faces.doors import Doorman

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIApplication


@pytest.fixture
def door() -> Doorman:
    return Doorman()


def over_wsgi(app: WSGIApplication, path: str) -> int:
    """Return the status of a request, served as a server does it."""
    environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path}
    setup_testing_defaults(environ)
    said: list[str] = []
    result: Any = app(environ, lambda status, *_: said.append(status))  # type: ignore[arg-type, return-value]
    b"".join(result)
    if hasattr(result, "close"):
        result.close()
    return int(said[0][:3])


def over_asgi(app: asgi.Application, path: str) -> int:
    body = {"type": "http.request", "body": b"", "more_body": False}
    connection = Connection(scope("http", path), body, strict=False)
    connection.run(app)
    return connection.status


BY_PATH = {"/page": 1, "/healthz": 1}


def check(
    serve: Callable[[Any, str], int],
    app: object,
    door: Doorman,
    routes: dict[str, int] = BY_PATH,
) -> None:
    """Ask for pages while there is memory, and when there is none."""
    assert serve(app, "/page") == 200
    assert serve(app, "/missing") == 404
    assert door.work() == (2, 0)
    door.close()
    assert serve(app, "/page") == 503
    assert serve(app, "/missing") == 503
    assert serve(app, "/healthz") == 200
    assert door.work() == (3, 0)
    assert door.routes() == routes


def test_flask(door: Doorman) -> None:
    flask = pytest.importorskip("flask")
    app = flask.Flask("shop")
    for path in ("/page", "/healthz"):
        app.add_url_rule(path, path, lambda: "a page")
    app.wsgi_app = wsgi.Middleware(app.wsgi_app, door.guard)
    check(over_wsgi, app, door)


def test_django(door: Doorman, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("django")
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path

    urls: Any = ModuleType("shop_urls")
    urls.urlpatterns = [
        path(route, lambda _request: HttpResponse("a page"))
        for route in ("page", "healthz")
    ]
    monkeypatch.setitem(sys.modules, "shop_urls", urls)
    settings.configure(
        ALLOWED_HOSTS=["*"],
        LOGGING_CONFIG=None,
        ROOT_URLCONF="shop_urls",
        USE_TZ=True,
    )
    check(over_wsgi, wsgi.Middleware(get_wsgi_application(), door.guard), door, {})
    other = Doorman()
    check(over_asgi, asgi.Middleware(get_asgi_application(), other.guard), other, {})


def test_starlette(door: Doorman) -> None:
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse

    async def page(_request: object) -> PlainTextResponse:
        return PlainTextResponse("a page")

    app = Starlette()
    for path in ("/page", "/healthz"):
        app.router.add_route(path, page)
    app.add_middleware(asgi.Middleware, guard=door.guard)
    check(over_asgi, app, door)


def test_fastapi(door: Doorman) -> None:
    pytest.importorskip("fastapi")
    from fastapi import FastAPI

    app = FastAPI()
    for path in ("/page", "/healthz"):
        app.add_api_route(path, lambda: "a page")
    app.add_middleware(asgi.Middleware, guard=door.guard)
    check(over_asgi, app, door)


def test_litestar(door: Doorman) -> None:
    pytest.importorskip("litestar")
    from litestar import Litestar, get

    @get(["/page", "/healthz"])
    async def page() -> str:
        return "a page"

    app = Litestar([page], logging_config=None)  # it starts a thread
    app.asgi_handler = asgi.Middleware(app.asgi_handler, door.guard)
    check(over_asgi, app, door)
