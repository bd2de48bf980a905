"""The face for WSGI applications (PEP 3333): count requests, refuse under pressure.

Rules of this file: a request ends exactly once, whatever application and server do;
no body is read, no chunk of a response is asked for ahead of the server. There is no
``Connection: close``: that header is the server's, and some refuse it (PEP 3333,
"Other HTTP Features").
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from leakguard._core.access import Request, joined
from leakguard._middleware import Door
from leakguard._render.refusal import readiness, refuse
from leakguard._request_routes import of_environ
from leakguard._shortage import out_of_memory, room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from leakguard._core.gate import Priority
    from leakguard._render.refusal import Answer
    from leakguard._runtime.gate import Gate
    from leakguard._runtime.work_counter import WorkCounter
    from leakguard.guard import Guard
    from leakguard.routes import DebugRoutes

__all__ = ["Middleware"]


class Middleware:
    """Wraps a WSGI application: ``app = Middleware(app)``.

    It counts the requests, so that growth is told in bytes per request, and under
    memory pressure answers 503 in place of the application. What has begun is never
    cut. The first request starts the ``guard``, by default the process's own
    (``leakguard.watch()``).

    ``priority`` maps patterns of paths to priorities, ``{"/admin/*": "critical"}``,
    or is called with the environ; what it raises means "normal". Health checks and
    ``/metrics`` are exempt. ``readiness_path`` is answered here: 200 while new
    requests are welcome, else 503. ``client_key`` is called with the environ for what
    tells clients apart; by default the address, as a proxy tells it. ``debug`` are
    the ``leakguard.routes.DebugRoutes`` to mount, if any; they are always admitted.

    Cost: below 2 µs per request, below 20 µs for a refusal.

    Raises:
        LeakguardError: an option makes no sense; one sentence says which.

    """

    def __init__(  # noqa: PLR0913 - all but two by name, and optional
        self,
        app: WSGIApplication,
        guard: Guard | None = None,
        *,
        priority: Mapping[str, Priority]
        | Callable[[WSGIEnvironment], Priority]
        | None = None,
        readiness_path: str | None = None,
        client_key: Callable[[WSGIEnvironment], str | None] | None = None,
        debug: DebugRoutes | None = None,
    ) -> None:
        """Remember the options; nothing runs until the first request."""
        self._app = app
        self._door = Door(
            guard, priority, readiness_path, client_key or _address, debug
        )

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Handle one request."""
        door = self._door
        gate = door.gate
        if gate is None or not gate.is_open or door.own_paths:
            gate = gate or door.find_gate()
            answer = self._answer(gate, environ)
            if answer is not None:
                return _send(answer, environ, start_response)
        gate.begin()
        try:
            if gate.work.by_route:
                result = self._by_route(gate.work, environ, start_response)
            else:
                result = self._app(environ, start_response)
            if not _is_whole(result, environ):
                return _Counted(result, gate.end)
        except MemoryError as error:
            gate.end()
            if not door.is_hard:
                raise
            return _fail(error, environ, start_response)
        except BaseException:
            gate.end()
            raise
        gate.end()
        return result

    def _answer(self, gate: Gate, environ: WSGIEnvironment) -> Answer | None:
        """Return what is answered here, or in place of the application."""
        door, path = self._door, environ.get("PATH_INFO", "")
        if not path.isascii():  # bytes in the guise of text, "Unicode Issues"
            path = path.encode("latin-1", "replace").decode("utf-8", "replace")
        if path in door.own_paths:
            if path == door.readiness_path:
                return readiness(ready=gate.ready)
            found = door.answer_debug(_request(environ, path))
            if found is not None:
                return found
        refusal = None if gate.is_open else door.refuse(gate, environ, path)
        if refusal is None:
            return None
        return refuse(refusal, environ.get("HTTP_ACCEPT"))

    def _by_route(
        self,
        work: WorkCounter,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """Call the application, and count the request by its route."""
        route: str | None = None

        def begun(*response: Any, **named: Any) -> Any:  # noqa: ANN401 - handed on
            nonlocal route
            route = of_environ(environ)  # Flask forgets it before it returns
            return start_response(*response, **named)

        result = self._app(environ, begun)
        work.count_route(route)
        return result


class _Counted:
    """A result that is still to be produced: its request ends with it.

    The server iterates over the result itself. Whoever never calls ``close()`` ends
    the request by letting go of this.
    """

    __slots__ = ("_end", "_result")

    def __init__(self, result: Iterable[bytes], end: Callable[[], object]) -> None:
        self._result = result
        self._end: Callable[[], object] | None = end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._result)

    def close(self) -> None:
        """Close the result, as the server would have done, and end the request."""
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        finally:
            self._finish()

    def _finish(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end()

    __del__ = _finish


def _is_whole(result: Any, environ: WSGIEnvironment) -> bool:  # noqa: ANN401
    """Tell whether to hand the result to the server as it is.

    That is so if all of it is there (servers ask ``len()``), or if it is the server's
    own file wrapper, which the server recognises by its class to use sendfile. Where
    the wrapper is a function (uWSGI), it returns the file itself.
    """
    if hasattr(result, "__len__"):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        return isinstance(result, wrapper)
    return wrapper is not None and hasattr(result, "read")


def _address(environ: WSGIEnvironment) -> str | None:
    """Return what tells clients apart, also behind a proxy, where all have one address.

    Who invents an ``X-Forwarded-For`` gains another draw of luck, and no more.
    """
    return environ.get("HTTP_X_FORWARDED_FOR") or environ.get("REMOTE_ADDR") or None


def _request(environ: WSGIEnvironment, path: str) -> Request:
    client = environ.get("REMOTE_ADDR") or None
    # Waitress takes the headers away by which a proxy is known.
    if "waitress.client_disconnected" in environ:
        client = None
    return Request(
        environ.get("REQUEST_METHOD", ""),
        path,
        environ.get("QUERY_STRING", ""),
        joined(
            (name[5:].replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ),
        client,
        environ.get("wsgi.url_scheme", "http"),
        environ.get("SERVER_PROTOCOL", "HTTP/1.0").removeprefix("HTTP/"),
        environ.get("RAW_URI") or environ.get("REQUEST_URI"),
    )


def _fail(
    error: MemoryError, environ: WSGIEnvironment, start_response: StartResponse
) -> list[bytes]:
    """Answer 503, unless the response has begun: then the server raises it again."""
    with room():
        answer = out_of_memory(error, environ.get("HTTP_ACCEPT"))
        return _send(answer, environ, start_response, sys.exc_info())


def _send(
    answer: Answer,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    *error: OptExcInfo,
) -> list[bytes]:
    status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    start_response(status, list(answer.headers), *error)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]
