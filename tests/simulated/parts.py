"""What simulated programs do with memory, one small part for each habit.

Rules of this file: a part sees one step of its process at a time and changes the
process's memory by what it takes and gives back. Only memory that the program will
never give back, nor stop taking, is accounted as leaked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tests.simulated.memory import Draw, Group, Memory


@dataclass
class Process:
    """One life of a program, as its parts see it.

    ``fraction`` is the share of the whole series that has passed, ``age_seconds`` the
    time since this life began.
    """

    draw: Draw
    memory: Memory
    group: Group
    duration_seconds: float
    fraction: float = 0.0
    age_seconds: float = 0.0
    requests_total: int = 0
    in_flight: int = 0
    leaked_bytes: float = 0.0
    leak_seconds: float = 0.0
    leaking: bool = False

    def leak(self, kind: str, size_bytes: float, objects: float) -> None:
        self.leaking = True
        self.memory.add(kind, size_bytes, objects)
        self.leaked_bytes += size_bytes


class Part(Protocol):
    """One habit of a program."""

    def step(self, process: Process, dt_seconds: float, requests: int) -> None: ...


@dataclass
class Held:
    """Memory of one kind that follows a wanted size; each piece costs a few blocks."""

    kind: str
    piece_bytes: float
    held_bytes: float = 0.0

    def hold(self, memory: Memory, wanted_bytes: float) -> None:
        change = wanted_bytes - self.held_bytes
        if change:
            memory.add(self.kind, change, round(change / self.piece_bytes))
            self.held_bytes = wanted_bytes


@dataclass
class WarmUp:
    """Imports, compiled templates, first connections: fast at first, then no more."""

    size_bytes: float
    seconds: float
    small: Held = field(default_factory=lambda: Held("small", 90))
    body: Held = field(default_factory=lambda: Held("body", 1500))

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds, requests
        done = self.size_bytes * -math.expm1(-process.age_seconds / self.seconds)
        self.small.hold(process.memory, 0.4 * done)
        self.body.hold(process.memory, 0.6 * done)


@dataclass
class Settle:
    """What long-lived programs gather, ever more slowly: a page here and there."""

    size_bytes: float
    seconds: float
    held: Held = field(default_factory=lambda: Held("body", 700))

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds, requests
        grown = math.log1p(process.age_seconds / self.seconds)
        self.held.hold(process.memory, self.size_bytes * grown)


@dataclass
class InFlight:
    """Buffers of the requests under way."""

    held: Held
    spread: float = 0.2

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds, requests
        count = process.in_flight
        noise = process.draw.gauss(1.0, self.spread / math.sqrt(count or 1))
        self.held.hold(process.memory, count * self.held.piece_bytes * max(0.0, noise))


@dataclass
class Wander:
    """Working memory that moves up and down by itself around a mean."""

    held: Held
    mean_bytes: float
    sigma: float
    memory_of_steps: float = 0.8
    state: float = 0.0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds, requests
        fresh = math.sqrt(1 - self.memory_of_steps**2)
        self.state = self.memory_of_steps * self.state
        self.state += fresh * process.draw.gauss(0.0, 1.0)
        wanted = self.mean_bytes * max(0.0, 1 + self.sigma * self.state)
        self.held.hold(process.memory, wanted)


@dataclass
class Keep:
    """A leak: each request (or one of many) leaves something behind for ever."""

    kind: str
    bytes_per_request: float
    one_of: float = 1.0
    begin: float = 0.0
    end: float = 1.0
    pieces: float = 2.0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds
        if not self.begin <= process.fraction <= self.end:
            return
        process.leaking = True
        count = requests
        if self.one_of > 1:
            count = process.draw.poisson(requests / self.one_of)
        if count:
            noise = process.draw.gauss(1.0, 0.3 / math.sqrt(count))
            size = count * self.one_of * self.bytes_per_request * max(0.1, noise)
            process.leak(self.kind, size, round(count * self.pieces))


@dataclass
class KeepNewKeys:
    """A leak that slows down: what is new among n requests grows like n^exponent."""

    kind: str
    bytes_at_end: float
    requests_at_end: float
    exponent: float
    entry_bytes: float
    seen: int = 0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds
        before, self.seen = self.seen, self.seen + requests
        share = self._share(self.seen) - self._share(before)
        count = process.draw.poisson(share * self.bytes_at_end / self.entry_bytes)
        process.leak(self.kind, count * self.entry_bytes, count * 2)

    def _share(self, requests: float) -> float:
        return float((requests / self.requests_at_end) ** self.exponent)


@dataclass
class Garbage:
    """Reference cycles that pile up until a collection; some may stay for ever."""

    kind: str
    bytes_per_request: float
    every_seconds: float
    kept: float = 0.0
    begin: float = 0.0
    pile_bytes: float = 0.0
    pieces: float = 0.0
    due_seconds: float = 0.0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds
        if process.fraction < self.begin:
            return
        size = requests * self.bytes_per_request
        if self.kept:
            process.leak(self.kind, self.kept * size, round(self.kept * 3 * requests))
        self.pile_bytes += (1 - self.kept) * size
        pieces = round((1 - self.kept) * 3 * requests)
        self.pieces += pieces
        process.memory.add(self.kind, (1 - self.kept) * size, pieces)
        if process.age_seconds >= self.due_seconds:
            wait = self.every_seconds * process.draw.uniform(0.93, 1.07)
            self.due_seconds = process.age_seconds + wait
            process.memory.add(self.kind, -self.pile_bytes, -self.pieces)
            self.pile_bytes = self.pieces = 0.0
