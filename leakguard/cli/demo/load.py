"""Serves the shop over loopback and visits it: real requests over real sockets."""

from __future__ import annotations

import http.client
import json
import threading
from typing import TYPE_CHECKING, final

from leakguard._core.records import LeakguardError

if TYPE_CHECKING:
    from types import TracebackType

    from flask import Flask

_PRODUCTS = 64
_TIMEOUT_SECONDS = 30.0
_OK = 200


@final
class Shop:
    """A threaded server for an app on a free port of 127.0.0.1, while entered."""

    def __init__(self, app: Flask) -> None:
        """Bind the port; nothing is served yet."""
        from werkzeug import serving

        class Quiet(serving.WSGIRequestHandler):
            """Keeps connections open, as a production server does, and logs nothing."""

            protocol_version = "HTTP/1.1"
            #: Otherwise an answer's second packet waits 40 ms for the first one's ACK.
            disable_nagle_algorithm = True

            def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
                pass

        self._server = serving.make_server(
            "127.0.0.1", 0, app, threaded=True, request_handler=Quiet
        )
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="shop", daemon=True
        )

    def __enter__(self) -> Shop:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_TIMEOUT_SECONDS)


class Visitor:
    """Asks for one page of each kind per visit, on one connection."""

    def __init__(self, port: int) -> None:
        """Remember the port; connects at the first visit."""
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=_TIMEOUT_SECONDS
        )
        self.requests = 0
        self._visits = 0

    def visit(self) -> None:
        """Do one round through the shop: five requests.

        Raises:
            LeakguardError: the shop answered with an error.

        """
        self._visits += 1
        number = self._visits
        product = number % _PRODUCTS
        order = {"pieces": 1, "note": f"order {number}, please gift-wrap it"}
        self._ask("GET", "/")
        self._ask("GET", f"/product/{product}?from=mail-{number}")
        self._ask("GET", f"/stock/{product}")
        self._ask("POST", f"/order/{product}", json.dumps(order))
        self._ask("GET", f"/price/{number}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: str | None = None) -> None:
        headers = {"Content-Type": "application/json"} if body else {}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != _OK:
            raise LeakguardError(f"the shop answered {answer.status} to {path}")
        self.requests += 1
