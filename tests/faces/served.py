"""Applications for real servers. Memory runs short when one of the workers has grown.

``/slow`` takes a second, ``/grow`` grows, ``/reason`` tells why the worker is, or is
not, to be replaced; everything else answers its process id. What stands for the kernel
is the directory ``SERVED``: a worker that has grown is named there while it lives, and
the query of each request that got here stands in ``seen``.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakguard import Guard, Policy, asgi, wsgi
from leakguard._core.samples import Limit, Reading
from leakguard._readers import limits
from leakguard._runtime import watcher

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from leakguard.asgi import Receive, Scope, Send

MIB = 1 << 20
SERVED = Path(os.environ["SERVED"])
LIMIT = Limit(4096 * MIB, "a test")
SLOW_SECONDS = 1.0

kept: list[bytes] = []


class Kernel:
    """Tells that memory is short as long as a worker lives that has grown."""

    def __init__(self, **_: object) -> None:
        """Take the options of the reader it stands for."""

    def read(self) -> Reading:
        grown = [one.name for one in SERVED.iterdir() if one.name.isdecimal()]
        is_short = any(Path("/proc", pid).exists() for pid in grown)
        used = LIMIT.limit_bytes * (96 if is_short else 30) // 100
        return Reading(LIMIT, unreclaimable_bytes=used)


limits.MemoryReader = Kernel  # type: ignore[assignment, misc]
watcher.TICK_SECONDS = 0.1
guard = Guard(policy=Policy(least_life_seconds=0.5, cool_down_seconds={"recycle": 0.3}))


def grow() -> None:
    """Grow by more than a tenth, and say so."""
    kept.append(b"x" * (60 * MIB))
    (SERVED / str(os.getpid())).touch()


def remember(query: str) -> None:
    with (SERVED / "seen").open("a", encoding="utf-8") as seen:
        seen.write(f"{query}\n")


def answer(path: str) -> bytes:
    if path == "/grow":
        grow()
    elif path == "/reason":
        return str(guard.counters.last_recycle_reason).encode()
    return str(os.getpid()).encode()


def wsgi_app(
    environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    remember(environ["QUERY_STRING"])
    if path == "/slow":
        time.sleep(SLOW_SECONDS)
    body = answer(path)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    remember(scope["query_string"].decode())
    if scope["path"] == "/slow":
        await asyncio.sleep(SLOW_SECONDS)
    body = answer(scope["path"])
    headers = [(b"content-length", str(len(body)).encode())]
    start: dict[str, Any] = {"type": "http.response.start", "status": 200}
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# Nothing is refused: here it is about what the server does.
over_wsgi = wsgi.Middleware(wsgi_app, guard, priority={"/*": "critical"})
over_asgi = asgi.Middleware(asgi_app, guard, priority={"/*": "critical"})
