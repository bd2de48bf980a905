"""A strict ASGI server of one connection: whatever breaks the standard is an error.

It is the side of the standard (asgi.readthedocs.io, HTTP and WebSocket, version 2.5)
that an application and its middlewares are seen from.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from leakguard.asgi import Application, Scope

#: What may be sent in a state -> the state after it.
HTTP = {
    ("new", "http.response.start"): "started",
    ("started", "http.response.body"): "body",
    ("body", "http.response.body"): "body",
}
WEBSOCKET = {
    ("new", "websocket.accept"): "open",
    ("new", "websocket.close"): "ended",
    ("open", "websocket.send"): "open",
    ("open", "websocket.close"): "ended",
}
DENIAL = {
    ("new", "websocket.http.response.start"): "started",
    ("started", "websocket.http.response.body"): "body",
    ("body", "websocket.http.response.body"): "body",
}
#: The keys of each message and the types of their values.
KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "response.start": {"status": int, "headers": list, "trailers": bool},
    "response.body": {"body": bytes, "more_body": bool},
    "websocket.accept": {"subprotocol": (str, type(None)), "headers": list},
    "websocket.send": {"bytes": bytes, "text": str},
    "websocket.close": {"code": int, "reason": str},
}


def scope(kind: str = "http", path: str = "/", **more: object) -> Scope:
    """Return the scope of a connection, complete."""
    common: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver")],
        "client": ("10.0.0.1", 40_000),
        "server": ("127.0.0.1", 80),
        "state": {},
        "extensions": {},
    }
    own: dict[str, Any] = {"method": "GET"} if kind == "http" else {"subprotocols": []}
    return {**common, **own, **more}


class Connection:
    """One connection: runs the application, and has what it sent.

    ``events`` are received in turn; after the last one ``receive`` would wait for
    ever, and is an error. ``gone`` is what ``send`` raises once the client is.
    Not ``strict`` is for frameworks: they write in the scope, listen for the client's
    leaving, and Django's names of headers are not in lower case.
    """

    def __init__(
        self,
        scope: Scope,
        *events: dict[str, Any],
        gone: Exception | None = None,
        strict: bool = True,
    ) -> None:
        self.scope = scope
        self._strict = strict
        self.events = list(events)
        self.sent: list[dict[str, Any]] = []
        self.state = "new"
        self.gone = gone
        self.received = 0
        self._allowed = {**HTTP} if scope["type"] == "http" else {**WEBSOCKET}
        if "websocket.http.response" in scope["extensions"]:
            self._allowed |= DENIAL

    def run(self, app: Application) -> None:
        """Let the application handle the connection, to the end."""
        asyncio.run(self.handled_by(app))

    def handled_by(self, app: Application) -> Coroutine[Any, Any, None]:
        return self._handle(app)

    async def _handle(self, app: Application) -> None:
        before = copy.deepcopy(self.scope)
        await app(self.scope, self.receive, self.send)
        assert not self._strict or self.scope == before, "the scope was changed"
        assert self.state in {"ended", "new"} or self.gone, f"left {self.state}"

    async def receive(self) -> dict[str, Any]:
        if not self.events:
            assert not self._strict, "the application waits for ever"
            await asyncio.Event().wait()
        self.received += 1
        return self.events.pop(0)

    async def send(self, message: Any) -> None:  # noqa: ANN401
        if self.gone is not None:
            raise self.gone
        kind = message["type"]
        after = self._allowed.get((self.state, kind))
        assert after is not None, f"{kind} in state {self.state}"
        if self.scope["type"] == "websocket":
            assert self.received, f"{kind} before websocket.connect was received"
        if self._strict:
            _check(message)
        self.state = after
        if kind.endswith("response.body") and not message.get("more_body", False):
            self.state = "ended"
        self.sent.append(message)

    @property
    def status(self) -> int:
        status = self.sent[0]["status"]
        assert isinstance(status, int)
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def _check(message: dict[str, Any]) -> None:
    kind = message["type"].removeprefix("http.").removeprefix("websocket.http.")
    for key, value in message.items():
        if key != "type":
            assert isinstance(value, KEYS[kind][key]), f"{kind}: {key} is {value!r}"
    for name, value in message.get("headers", ()):
        assert isinstance(name, bytes), name
        assert isinstance(value, bytes), value
        assert name == name.lower(), name
