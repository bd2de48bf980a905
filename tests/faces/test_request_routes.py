"""What is asked of a framework's objects for their route never harms a request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from leakguard._request_routes import of_environ, of_match, of_scope


class Hostile:
    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever is asked for
        if name.startswith("__"):  # pytest asks for these
            raise AttributeError(name)
        raise RuntimeError(name)


FLASKS = SimpleNamespace(url_rule=SimpleNamespace(rule="/<a>"))


def page() -> None:
    """Stand for an endpoint."""


@pytest.mark.parametrize(
    ("scope", "route"),
    [
        ({}, None),
        (
            {"route": SimpleNamespace(path="/orders/{id}"), "endpoint": page},
            "/orders/{id}",
        ),
        ({"route": SimpleNamespace()}, None),
        ({"route": SimpleNamespace(path=7)}, None),
        ({"route": Hostile()}, None),
        ({"path_template": "/orders/{id:int}"}, "/orders/{id:int}"),
        ({"path_template": 7}, None),
        ({"endpoint": page}, "page"),
        ({"endpoint": Hostile()}, None),
    ],
)
def test_an_asgi_request(scope: dict[str, Any], route: str | None) -> None:
    assert of_scope(scope) == route


@pytest.mark.parametrize(
    ("match", "route"),
    [
        (SimpleNamespace(route=SimpleNamespace(resource=None)), None),
        (
            SimpleNamespace(
                route=SimpleNamespace(resource=SimpleNamespace(canonical="/{a}"))
            ),
            "/{a}",
        ),
        (Hostile(), None),
    ],
)
def test_an_aiohttp_request(match: object, route: str | None) -> None:
    assert of_match(match) == route


@pytest.mark.parametrize(
    ("environ", "route"),
    [
        ({}, None),
        (
            {
                "werkzeug.request": SimpleNamespace(
                    url_rule=SimpleNamespace(rule="/<a>")
                )
            },
            "/<a>",
        ),
        ({"werkzeug.request": SimpleNamespace(url_rule=None)}, None),
        ({"werkzeug.request": Hostile()}, None),
        ({"bottle.route": SimpleNamespace(rule="/<a>")}, "/<a>"),
        ({"bottle.route": Hostile()}, None),
    ],
)
def test_a_wsgi_request(environ: dict[str, Any], route: str | None) -> None:
    assert of_environ(environ) == route
