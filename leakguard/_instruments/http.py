"""Clients, sessions and responses of HTTP packages."""

from __future__ import annotations

from typing import Any

from leakguard._core.resources import Kind
from leakguard._instruments.targets import Resource, Target, makes, releases, returns

CLIENT = Resource(
    Kind(
        "HTTP clients",
        "unclosed-connection",
        "Keep one client for the process, or close each one: it has a pool of "
        "connections of its own.",
        "with httpx.Client() as client: ...  # or requests.Session()",
    )
)


def _is_unread(response: Any, _key: object) -> bool:
    return not response._content_consumed  # noqa: SLF001 - nothing else says so


def _is_open(response: Any, _key: object) -> bool:
    return not response.is_closed


_READ = "Read each response to its end or close it: until then it keeps its connection."
RESPONSE = Resource(
    Kind(
        "streamed HTTP responses",
        "unclosed-connection",
        _READ,
        "with client.stream('GET', url) as response: ...",
        nature="borrowed",
    ),
    _is_open,
)
REQUESTS_RESPONSE = Resource(
    Kind(
        "responses of requests with stream=True",
        "unclosed-connection",
        _READ,
        "with session.get(url, stream=True) as response: ...",
        nature="borrowed",
        collected="released",  # read to its end or not, nobody can tell by then
    ),
    _is_unread,
)

REQUESTS = (
    Target("requests.sessions", "Session.__init__", makes, CLIENT),
    Target("requests.sessions", "Session.close", releases, CLIENT),
    Target("requests.sessions", "Session.send", returns, REQUESTS_RESPONSE),
    Target("requests.models", "Response.close", releases, REQUESTS_RESPONSE),
)
HTTPX = (
    Target("httpx", "Client.__init__", makes, CLIENT),
    Target("httpx", "Client.close", releases, CLIENT),
    Target("httpx", "Client.__exit__", releases, CLIENT),
    Target("httpx", "AsyncClient.__init__", makes, CLIENT),
    Target("httpx", "AsyncClient.aclose", releases, CLIENT),
    Target("httpx", "AsyncClient.__aexit__", releases, CLIENT),
    Target("httpx", "Client.send", returns, RESPONSE),
    Target("httpx", "AsyncClient.send", returns, RESPONSE),
    Target("httpx", "Response.close", releases, RESPONSE),
    Target("httpx", "Response.aclose", releases, RESPONSE),
)
