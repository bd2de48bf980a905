"""What the middlewares cost: per request above a pass-through, and per refusal.

The pass-through is the least a middleware can be: an object that calls the
application. Both are timed in turns, and the least of many rounds counts.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Row, at_most, in_child, main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Action = Callable[[], object]

NAME = "middleware"
BUDGET = "above a pass-through: WSGI 2 µs, ASGI 1.5 µs; a refusal 20 µs"

_CALLS = 5_000
_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
_PATTERNS = {"/admin/*": "critical", "/reports/*/pdf": "sheddable", "/": "critical"}
#: What a server hands over: the keys of a usual request, of which few are looked at.
_ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/orders/17",
    "REMOTE_ADDR": "10.0.0.1",
    "HTTP_ACCEPT": _ACCEPT,
    "wsgi.file_wrapper": type("FileWrapper", (), {}),
    **{f"HTTP_X_{number}": "value" for number in range(24)},
}
_SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "path": "/orders/17",
    "root_path": "",
    "client": ("10.0.0.1", 40_000),
    "headers": [
        *((b"x-%d" % number, b"value") for number in range(24)),
        (b"accept", _ACCEPT.encode()),
    ],
}


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Serve requests in a child: healthy ones, with patterns, and refused ones."""
    rounds = 20 if quick else 100
    most = {"WSGI": 2, "ASGI": 1.5}
    found = in_child("middleware", "microseconds", rounds)
    return [
        at_most(what, cost, "µs", 20 if "refusal" in what else most[what[:4]])
        for what, cost in found.items()
    ]


def microseconds(rounds: int) -> dict[str, float]:
    """Return the processor microseconds per request. Runs in a child."""
    from leakguard import asgi, wsgi

    return {
        "WSGI, a list": _above(_wsgi(_answer_at_once), rounds),
        "WSGI, an iterable to close": _above(_wsgi(_answer_in_parts), rounds),
        "WSGI, the same, patterns": _above(
            _wsgi(_answer_in_parts, priority=_PATTERNS), rounds
        ),
        "ASGI": _above(_asgi(_answer_later), rounds),
        "ASGI, patterns": _above(_asgi(_answer_later, priority=_PATTERNS), rounds),
        "WSGI, a refusal": _least(
            [_served(wsgi.Middleware(_answer_at_once, _guard(closed=True)))], rounds
        )[0],
        "ASGI, a refusal": _least(
            [_awaited(asgi.Middleware(_answer_later, _guard(closed=True)))], rounds
        )[0],
    }


def _wsgi(app: Any, **options: Any) -> tuple[Action, Action]:  # noqa: ANN401
    from leakguard.wsgi import Middleware

    return _served(_Pass(app)), _served(Middleware(app, _guard(), **options))


def _asgi(app: Any, **options: Any) -> tuple[Action, Action]:  # noqa: ANN401
    from leakguard.asgi import Middleware

    return _awaited(_AsyncPass(app)), _awaited(Middleware(app, _guard(), **options))


def _above(pair: tuple[Action, Action], rounds: int) -> float:
    bare, ours = _least(list(pair), rounds)
    return ours - bare


def _least(actions: list[Action], rounds: int) -> list[float]:
    """Return the least microseconds of each, timed in turns."""
    best = [float("inf")] * len(actions)
    for _ in range(rounds):
        for number, action in enumerate(actions):
            started = time.process_time()
            for _ in range(_CALLS):
                action()
            best[number] = min(best[number], time.process_time() - started)
    return [seconds / _CALLS * 1e6 for seconds in best]


def _guard(*, closed: bool = False) -> Any:  # noqa: ANN401 - no more of it is needed
    """Return what stands for a guard, with a real gate that is open or closed."""
    from types import SimpleNamespace

    from leakguard._core.gate import GateState
    from leakguard._runtime.gate import Gate
    from leakguard._runtime.work_counter import WorkCounter

    gate = Gate(WorkCounter(), clock=lambda: 0.0)
    if closed:
        shares = {"normal": 1.0, "sheddable": 1.0}
        gate.publish(GateState("critical", shares, ready=False, admit_one_in=0))
    return SimpleNamespace(gate=gate)


def _served(app: Any) -> Action:  # noqa: ANN401
    """Return what a server does with a request to a WSGI application."""

    def serve() -> None:
        result = app(_ENVIRON, _start_response)
        for _ in result:
            pass
        close = getattr(result, "close", None)
        if close is not None:
            close()

    return serve


def _awaited(app: Any) -> Action:  # noqa: ANN401
    """Return what a server does with a request to an ASGI one, without its loop."""

    def serve() -> None:
        try:
            app(_SCOPE, _nothing, _nothing).send(None)
        except StopIteration:
            return

    return serve


class _Pass:
    def __init__(self, app: Any) -> None:  # noqa: ANN401
        self._app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:  # noqa: ANN401
        return self._app(environ, start_response)


class _AsyncPass:
    def __init__(self, app: Any) -> None:  # noqa: ANN401
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        return await self._app(scope, receive, send)


class _Parts:
    """A result such as Flask's and Django's: an iterable with something to close."""

    def __iter__(self) -> Iterator[bytes]:
        return iter((b"a page",))

    def close(self) -> None:
        pass


def _start_response(*_: object) -> None:
    pass


def _answer_at_once(_environ: object, _start_response: object) -> list[bytes]:
    return [b"a page"]


def _answer_in_parts(_environ: object, _start_response: object) -> _Parts:
    return _Parts()


async def _answer_later(*_: object) -> None:
    pass


async def _nothing(*_: object) -> None:
    pass


if __name__ == "__main__":
    main(NAME, BUDGET, run)
