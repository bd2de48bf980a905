"""A leaking shop, as Flask and as FastAPI application, bare or with a guard in it.

``SURVIVAL_GUARD=1`` in the environment wraps it in leakguard's middleware: one line,
and what matters most by path.
"""

from __future__ import annotations

import asyncio
import os
import time

PAGE_BYTES, BURST_BYTES = 200_000, 24 << 20
SLOW_SECONDS = 1.0
PRIORITY = {"/pay/*": "critical", "/slow": "critical"}

visits: list[bytearray] = []


def page() -> str:
    """Keep something of each visit."""
    visits.append(bytearray(b"v") * PAGE_BYTES)
    return "a page"


def burst() -> str:
    """Need much memory for a moment."""
    rows = bytearray(b"r") * BURST_BYTES
    time.sleep(0.3)
    return f"{len(rows)} rows"


def flask_app():  # noqa: ANN201 - the types are the frameworks', loaded here
    """Return the shop as a Flask application."""
    from flask import Flask

    app = Flask(__name__)
    app.get("/page")(page)
    app.get("/burst")(burst)
    app.add_url_rule("/pay/<int:number>", "pay", lambda number: f"paid {number}")

    @app.get("/slow")
    def slow() -> str:
        time.sleep(SLOW_SECONDS)
        return "slowly"

    if os.environ.get("SURVIVAL_GUARD"):
        from leakguard.wsgi import Middleware

        app.wsgi_app = Middleware(app.wsgi_app, priority=PRIORITY)
    return app


def fastapi_app():  # noqa: ANN201
    """Return the shop as a FastAPI application."""
    from fastapi import FastAPI

    app = FastAPI()
    app.get("/page")(page)
    app.get("/burst")(burst)

    @app.get("/pay/{number}")
    async def pay(number: int) -> str:
        return f"paid {number}"

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(SLOW_SECONDS)
        return "slowly"

    if os.environ.get("SURVIVAL_GUARD"):
        from leakguard.asgi import Middleware

        app.add_middleware(Middleware, priority=PRIORITY)
    return app
