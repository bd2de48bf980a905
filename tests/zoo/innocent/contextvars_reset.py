"""Request context in ContextVars, reset in ``finally``, and copied for a callback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context

EXPECT = {"verdict": {"steady"}}

request_id: ContextVar[str] = ContextVar("request_id", default="-")
breadcrumbs: ContextVar[tuple[str, ...]] = ContextVar("breadcrumbs", default=())


@contextmanager
def request(number: int) -> Iterator[None]:
    token = request_id.set(f"req-{number:08}")
    try:
        yield
    finally:
        request_id.reset(token)


@contextmanager
def crumb(name: str) -> Iterator[None]:
    token = breadcrumbs.set((*breadcrumbs.get(), name))
    try:
        yield
    finally:
        breadcrumbs.reset(token)


def audit() -> str:
    return f"{request_id.get()}: {' > '.join(breadcrumbs.get())}"


def handle(number: int) -> str:
    lines = []
    with request(number):
        for part in ("parse", "load", "render"):
            with crumb(part), crumb(f"{part}.{number % 7}"):
                lines.append(copy_context().run(audit))
    return "\n".join(lines)


def step(i: int) -> int:
    return len(handle(i))
