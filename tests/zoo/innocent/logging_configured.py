"""Logging is configured once, with a memory handler that flushes when it is full."""

from __future__ import annotations

import io
import logging
import logging.handlers

EXPECT = {"verdict": {"steady", "load", "cache"}}

log = logging.getLogger("zoo.service")


class Sink(io.StringIO):
    """Counts what it is given and keeps nothing."""

    lines = 0

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        return len(text)


def configure(sink: Sink) -> None:
    target = logging.StreamHandler(sink)
    target.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    memory = logging.handlers.MemoryHandler(100, logging.ERROR, target)
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(memory)


SINK = Sink()
configure(SINK)


class Service:
    def __init__(self) -> None:
        self.log = logging.LoggerAdapter(log, {"component": "service"})

    def handle(self, number: int) -> int:
        self.log.info("request %d began", number)
        value = sum(n * n for n in range(number % 200))
        self.log.info("request %d ended with %d", number, value)
        return value


SERVICE = Service()


def step(i: int) -> int:
    return SERVICE.handle(i) + SINK.lines
