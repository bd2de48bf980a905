"""Longer habits of simulated programs: caches, pools, tables, jobs, queues, files.

Rules of this file: those of the parts it adds to.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from tests.simulated.memory import MIB
from tests.simulated.parts import Held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulated.parts import Process


@dataclass
class KeyCache:
    """A bounded cache; ``weights`` are those of its keys, none for ever new keys."""

    kind: str
    entry_bytes: float
    capacity: int
    weights: Sequence[float] = ()
    begin: float = 0.0
    wobble_bytes: float = 0.0
    seen: set[int] = field(default_factory=set)
    count: int = 0
    _cumulative: list[float] = field(default_factory=list)

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds
        if process.fraction < self.begin:
            return
        if self.count >= self.capacity:
            if not 0 < len(self.weights) <= self.capacity:
                self._replace(process, requests)
            return
        new = requests
        if self.weights:
            self._cumulative = self._cumulative or list(accumulate(self.weights))
            keys = range(len(self.weights))
            before = len(self.seen)
            self.seen.update(
                process.draw.choices(keys, cum_weights=self._cumulative, k=requests)
            )
            new = len(self.seen) - before
        new = min(new, self.capacity - self.count)
        self.count += new
        process.memory.add(self.kind, new * self.entry_bytes, new * 2)

    def _replace(self, process: Process, requests: int) -> None:
        """Evict entries for others, which are not exactly as large."""
        sigma = 0.2 * self.entry_bytes * math.sqrt(min(requests, self.capacity))
        wobble = 0.9 * self.wobble_bytes + process.draw.gauss(0.0, sigma)
        process.memory.add(self.kind, wobble - self.wobble_bytes)
        self.wobble_bytes = wobble


@dataclass
class Ttl:
    """Entries that live for a while: sessions, a cache with a time to live."""

    kind: str
    entry_bytes: float
    seconds: float
    born: deque[tuple[float, int]] = field(default_factory=deque)

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds
        self.born.append((process.age_seconds, requests))
        change = requests
        while self.born[0][0] < process.age_seconds - self.seconds:
            change -= self.born.popleft()[1]
        process.memory.add(self.kind, change * self.entry_bytes, change * 2)


@dataclass
class Pool:
    """Connections opened on demand and kept, up to a maximum."""

    kind: str
    connection_bytes: float
    most: int
    opened: int = 0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds, requests
        wanted = max(self.opened, min(self.most, process.in_flight))
        fresh, self.opened = wanted - self.opened, wanted
        process.memory.add(self.kind, fresh * self.connection_bytes, fresh * 30)


@dataclass
class Lazy:
    """Things loaded once, at moments given as fractions of the run."""

    kind: str
    moments: list[tuple[float, float]]

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds, requests
        for moment in [m for m in self.moments if m[0] <= process.fraction]:
            self.moments.remove(moment)
            process.memory.add(self.kind, moment[1], moment[1] / 4000)


@dataclass
class Doubling:
    """A hash table that doubles whenever it is full; its keys are finite in number.

    With ``for_ever`` they are not, and what they cost is a leak.
    """

    bytes_per_key: float
    keys: float
    table: Held = field(default_factory=lambda: Held("big", 1e9))
    count: float = 0.0
    room: float = 1000.0
    requests: int = 0
    new_share: float = 1.0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds
        self.requests += requests
        known = self.keys * -math.expm1(-self.requests * self.new_share / self.keys)
        fresh = int(known - self.count)
        self.count += fresh
        while self.count > self.room * 2 / 3:
            self.room *= 2
        process.memory.add("small", fresh * self.bytes_per_key, fresh)
        self.table.hold(process.memory, self.room * 100)


@dataclass
class Ratchet:
    """Long-lived crumbs cut from large buffers: holes that nothing fits in again."""

    hole_bytes_per_request: float
    crumb: float = 0.02
    batch_bytes: float = 0.0
    fade: float = math.inf
    due_bytes: float = 0.0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds
        size = requests * self.hole_bytes_per_request
        self.due_bytes += size * math.exp(-process.age_seconds / self.fade)
        if self.due_bytes > self.batch_bytes:
            hole, self.due_bytes = self.due_bytes, 0.0
            process.memory.pin(hole, hole * self.crumb, round(hole / 15_000))


@dataclass
class Batch:
    """A job at equal distances: memory rises while it runs and is given back.

    What it keeps each time is a leak.
    """

    held: Held
    every_seconds: float
    run_seconds: float
    peak_bytes: float
    kept_bytes: float = 0.0
    kept_kind: str = "body"
    offset: float = 0.0
    runs: int = -1
    size_bytes: float = 0.0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds, requests
        age_seconds = process.age_seconds - self.offset
        if age_seconds < 0:
            return
        run, since = divmod(age_seconds, self.every_seconds)
        process.leaking |= self.kept_bytes > 0
        if run > self.runs:
            self.runs = int(run)
            noise = process.draw.gauss(1.0, 0.05)
            self.size_bytes = self.peak_bytes * noise
            if self.kept_bytes:
                kept = self.kept_bytes * process.draw.uniform(0.7, 1.3)
                process.leak(self.kept_kind, kept, round(kept / 2500))
        done = min(1.0, since / (0.6 * self.run_seconds))
        wanted = self.size_bytes * done if since < self.run_seconds else 0.0
        self.held.hold(process.memory, wanted)


@dataclass
class Queue:
    """A worker with a backlog: what comes faster than it works waits in memory."""

    held: Held
    per_second: float
    backlog: float = 0.0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        self.backlog = max(0.0, self.backlog + requests - self.per_second * dt_seconds)
        process.in_flight = round(self.backlog)
        self.held.hold(process.memory, self.backlog * self.held.piece_bytes)


@dataclass
class PageCache:
    """A log that is written, and read again if ``active``: file pages of the group."""

    bytes_per_second: float
    active: bool

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del requests
        group, draw = process.group, process.draw
        room = group.limit_bytes - group.usage_bytes(process.memory) - 0.3 * MIB
        fresh = self.bytes_per_second * dt_seconds * draw.uniform(0.8, 1.2)
        if not self.active:
            group.inactive = max(0.0, group.inactive + min(fresh, room))
            return
        group.active = max(0.0, group.active + min(fresh, room))
        if room < fresh:  # pages are moved to the inactive list as they are reclaimed
            moved = 0.05 * max(0.0, 0.65 * group.active - group.inactive)
            group.active -= moved
            group.inactive += moved
        elif group.inactive < 4 * MIB:
            group.inactive = draw.uniform(0.2, 3) * MIB


@dataclass
class Neighbour:
    """A noisy sidecar in the same group."""

    most_bytes: float
    changes: float = 0.3
    level: float = -1.0

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds, requests
        draw = process.draw
        if self.level < 0:
            self.level = draw.random()
        elif draw.chance(self.changes):
            self.level = min(
                1.0, abs(0.5 + 0.7 * (self.level - 0.5) + draw.gauss(0, 0.2))
            )
        process.group.neighbour = self.level * self.most_bytes


@dataclass
class Touched:
    """A large array got at once and written bit by bit: only RSS grows, to its size."""

    size_bytes: float
    full_at: float
    got: bool = False

    def step(self, process: Process, dt_seconds: float, requests: int) -> None:
        del dt_seconds, requests
        if not self.got:
            self.got = True
            process.memory.add("big", self.size_bytes)
        share = min(1.0, process.fraction / self.full_at)
        process.memory.untouched = self.size_bytes * (1 - share)
