"""The face for aiohttp's server: count requests, refuse under pressure.

Rules of this file: aiohttp is imported where it is used; a handler's exceptions,
``web.HTTPException`` among them, pass untouched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakguard._core import access
from leakguard._middleware import Door, ask_debug
from leakguard._render.refusal import readiness, refuse
from leakguard._request_routes import of_match
from leakguard._shortage import out_of_memory, room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.typedefs import Handler, Middleware
    from aiohttp.web import Request, Response, StreamResponse

    from leakguard._core.gate import Priority
    from leakguard._render.refusal import Answer
    from leakguard._runtime.gate import Gate
    from leakguard.guard import Guard
    from leakguard.routes import DebugRoutes

__all__ = ["middleware"]


def middleware(
    guard: Guard | None = None,
    *,
    priority: Mapping[str, Priority] | Callable[[Request], Priority] | None = None,
    readiness_path: str | None = None,
    client_key: Callable[[Request], str | None] | None = None,
    debug: DebugRoutes | None = None,
) -> Middleware:
    """Return a middleware: ``web.Application(middlewares=[middleware()])``.

    Put it first, so that it is the outermost. It does what
    ``leakguard.asgi.Middleware`` does, and takes the same options; the callables are
    called with the ``web.Request``. aiohttp itself answers ``Expect: 100-continue``
    before any middleware is asked.

    Raises:
        LeakguardError: an option makes no sense; one sentence says which.

    """
    from aiohttp.web import middleware as new_style

    door = Door(guard, priority, readiness_path, client_key or _address, debug)

    @new_style
    async def guarded(request: Request, handler: Handler) -> StreamResponse:
        gate = door.gate or door.find_gate()
        response = await _instead(door, gate, request)
        if response is not None:
            return response
        gate.begin()
        try:
            return await handler(request)
        except MemoryError as error:
            if not door.is_hard:
                raise
            return _fail(error, request)
        finally:
            _end(gate, request)

    return guarded


async def _instead(
    door: Door[Request], gate: Gate, request: Request
) -> Response | None:
    """Return what is answered here, or in place of the application."""
    path = request.path
    answer = None
    if path in door.own_paths:
        if path == door.readiness_path:
            return _response(readiness(ready=gate.ready))
        answer = await ask_debug(door, _asked(request))
    if answer is None and not gate.is_open:
        refusal = door.refuse(gate, request, path)
        if refusal is not None:
            answer = refuse(refusal, request.headers.get("Accept"))
    if answer is None:
        return None
    response = _response(answer)
    response.force_close()
    return response


def _end(gate: Gate, request: Request) -> None:
    gate.end()
    if gate.work.by_route:
        gate.work.count_route(of_match(request.match_info))


def _address(request: Request) -> str | None:
    """Return what tells clients apart, also behind a proxy, where all have one address.

    Who invents an ``X-Forwarded-For`` gains another draw of luck, and no more.
    """
    return request.headers.get("X-Forwarded-For") or request.remote


def _fail(error: MemoryError, request: Request) -> Response:
    """Return a 503, unless the response has begun."""
    if request.writer.output_size:
        raise error
    with room():
        return _response(out_of_memory(error, request.headers.get("Accept")))


def _asked(request: Request) -> access.Request:
    return access.Request(
        request.method,
        request.path,
        request.rel_url.raw_query_string,
        access.joined(request.headers.items()),
        request.remote or None,
        request.scheme,
        f"{request.version.major}.{request.version.minor}",
        request.raw_path,
    )


def _response(answer: Answer) -> Response:
    from aiohttp.web import Response

    return Response(status=answer.status, headers=answer.headers, body=answer.body)
