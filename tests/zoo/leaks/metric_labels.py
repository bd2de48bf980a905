"""A counter with the full URL as a label: one child per visitor, for ever."""

from __future__ import annotations

import random
from urllib.parse import parse_qsl, urlencode, urlsplit

EXPECT = {
    "verdict": "leak",
    "sites": ["labels", "__init__", "random_url", "serve"],
    "owner": "REQUESTS._children",
    "pattern": "unbounded-cache",
    "habit": "label-set",
    "bytes_per_call": (160, 610),
}

RANDOM = random.Random(55)


class Child:
    def __init__(self) -> None:
        self.value = 0.0
        self.exemplar: str | None = None

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount


class Counter:
    def __init__(self, name: str, label_names: tuple[str, ...]) -> None:
        self.name = name
        self.label_names = label_names
        self._children: dict[tuple[str, ...], Child] = {}

    def labels(self, *values: str) -> Child:
        if values not in self._children:
            self._children[values] = Child()  # LEAK
        return self._children[values]


REQUESTS = Counter("http_requests_total", ("method", "url"))


def random_url() -> str:
    query = urlencode({"session": f"{RANDOM.getrandbits(64):x}", "page": 1})
    return f"/articles/{RANDOM.randrange(400)}?{query}"  # LEAK


def serve(url: str) -> int:
    parts = urlsplit(url)
    arguments = dict(parse_qsl(parts.query))
    REQUESTS.labels("GET", url).inc()  # LEAK
    return len(parts.path) + len(arguments)


def step() -> int:
    known = [f"/articles/{n}?page={n % 3}" for n in range(12)]
    return serve(random_url()) + sum(serve(url) for url in known)
