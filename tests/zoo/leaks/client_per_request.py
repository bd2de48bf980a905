"""A gateway opens an HTTP session for each request and keeps it for a retry."""

from __future__ import annotations

EXPECT = {
    "verdict": "leak",
    "sites": ["__init__", "session"],
    "owner": "GATEWAY.used",
    "pattern": "unclosed-connection",
    "habit": "client-per-call",
    "bytes_per_call": (1000, 3000),
}


class Session:
    """Stands in for the one of requests, which need not be installed."""

    __module__ = "requests.sessions"
    __slots__ = ("adapters", "headers")

    def __init__(self) -> None:
        self.headers = {"Accept": "*/*"}  # LEAK
        self.adapters = {scheme: bytearray(600) for scheme in ("http", "https")}  # LEAK


class Gateway:
    def __init__(self) -> None:
        self.used: list[Session] = []

    def session(self) -> Session:
        made = Session()  # LEAK
        self.used.append(made)  # LEAK
        return made


GATEWAY = Gateway()


def step(i: int) -> int:
    return len(GATEWAY.session().adapters) + i
