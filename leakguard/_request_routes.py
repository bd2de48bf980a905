"""Which route a framework has found for a request, where it tells.

Rules of this file: asked after the application has been called; the text is the
application's own template of a path or name of a function, never a request's path;
nothing raises, and what is not there is ``None``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def of_scope(scope: Mapping[str, Any]) -> str | None:
    """Return the route of an ASGI request: FastAPI's, Litestar's, Starlette's.

    Cost: below 0.5 µs.
    """
    route = scope.get("route")
    if route is not None:
        return _text(route, "path")
    template = scope.get("path_template")
    if template is not None:
        return template if type(template) is str else None
    endpoint = scope.get("endpoint")
    return None if endpoint is None else _text(endpoint, "__qualname__")


def of_environ(environ: Mapping[str, Any]) -> str | None:
    """Return the route of a WSGI request: Flask's (Werkzeug's), Bottle's.

    Cost: below 0.5 µs.
    """
    request = environ.get("werkzeug.request")
    if request is not None:
        return _text(_attribute(request, "url_rule"), "rule")
    route = environ.get("bottle.route")
    return None if route is None else _text(route, "rule")


def of_match(match: object) -> str | None:
    """Return the route of aiohttp's ``request.match_info``. Cost: below 0.5 µs."""
    return _text(_attribute(_attribute(match, "route"), "resource"), "canonical")


def _text(item: object, name: str) -> str | None:
    found = _attribute(item, name)
    return found if type(found) is str else None


def _attribute(item: object, name: str) -> object:
    try:
        return getattr(item, name, None)
    except Exception:  # noqa: BLE001 - never the request's trouble
        return None
