"""The memory of a simulated process: malloc's heap, pymalloc's pools, mappings.

Rules of this file: resident memory follows from what was asked for and given back,
never from a drawn curve, so that all columns of one moment agree. Names of kinds:
``small`` objects live in pymalloc's pools, ``body`` and ``native`` on malloc's heap
(a body with the Python objects that refer to it), ``big`` in mappings of malloc,
``mapped`` in mappings that malloc does not know, ``tmpfs`` in the group alone. A
``thread`` is a little of each: a stack, its locals, its Python objects.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

PAGE_BYTES = 4096
MIB = 1 << 20
#: glibc keeps this much free memory at the top of its heap (M_TRIM_THRESHOLD).
TRIM_BYTES = 128 << 10
#: The kernel charges groups in advance: 61 pages or so on each processor.
CHARGED_AHEAD_PAGES = 61
#: A small object as a program has them in the mean.
SMALL_BYTES = 75
#: Shares of the resident 16 KB of an idle thread, measured on CPython 3.12: its
#: stack, what malloc has for it, its objects.
STACK, LOCALS, OBJECTS = 0.72, 0.15, 0.13


class Draw(random.Random):
    """A source of random numbers with the distributions the models are made from."""

    def log(self, low: float, high: float) -> float:
        """Return a number between the two, each order of magnitude as likely."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def poisson(self, mean: float) -> int:
        if mean > 30:
            return max(0, round(self.gauss(mean, math.sqrt(mean))))
        count, left, bound = 0, self.random(), math.exp(-max(0.0, mean))
        while left > bound:
            count += 1
            left *= self.random()
        return count


@dataclass(frozen=True, kw_only=True)
class Base:
    """What a process is born with, and how its allocator gives memory back.

    ``retention`` is the share of freed heap that stays resident; without ``pools``
    (``PYTHONMALLOC=malloc``) all objects live on malloc's heap. ``small_bytes`` is
    the mean size of the small objects that are added later.
    """

    shared_bytes: int
    private_bytes: int
    heap_bytes: int
    free_bytes: int
    blocks: int
    retention: float
    small_bytes: float
    pools: bool = True
    arena_retention: float = 0.95

    @classmethod
    def drawn(cls, draw: Draw, *, static_mib: float = 0.0, pools: bool = True) -> Base:
        blocks = round(draw.log(70_000, 200_000))
        return cls(
            shared_bytes=round(draw.uniform(9, 12) * MIB),
            private_bytes=round(draw.uniform(2, 8) * MIB),
            heap_bytes=round((draw.log(3.5, 30) + static_mib) * MIB),
            free_bytes=round(draw.uniform(0.1, 1.0) * MIB),
            blocks=blocks,
            retention=draw.choice((0.0, 0.3, 0.9, 1.0)),
            small_bytes=draw.log(50, 450),
            pools=pools,
        )


class Memory:
    """The memory of one life of a process and of the group it lives in."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.used = float(base.heap_bytes)
        self.free = float(base.free_bytes)
        self.pinned = 0.0
        self.big = self.mapped = self.tmpfs = self.untouched = 0.0
        self.blocks = float(base.blocks)
        self.pooled = self.blocks * SMALL_BYTES
        self.pools = self.pooled * 1.02
        if not base.pools:
            self.used += self.pooled
            self.blocks = self.pooled = self.pools = 0.0

    def add(self, kind: str, size_bytes: float, objects: float = 0.0) -> None:
        """Take (or, below zero, give back) memory; a ``body`` comes with objects."""
        if kind == "small":
            self._objects(size_bytes, self.base.small_bytes)
        elif kind == "body":
            small = min(objects * SMALL_BYTES, size_bytes / 2, key=abs)
            self._objects(small, SMALL_BYTES)
            self._heap(size_bytes - small)
        elif kind == "native":
            self._heap(size_bytes)
        elif kind == "thread":
            self.mapped += STACK * size_bytes
            self._heap(LOCALS * size_bytes)
            self._objects(OBJECTS * size_bytes, SMALL_BYTES)
        else:
            setattr(self, kind, max(0.0, getattr(self, kind) + size_bytes))

    def pin(self, hole_bytes: float, crumb_bytes: float, count: float) -> None:
        """Leave holes behind small survivors, which no later request fits in."""
        self._objects(count * SMALL_BYTES, SMALL_BYTES)
        self._heap(hole_bytes + crumb_bytes)
        self.used -= hole_bytes
        self.pinned += hole_bytes

    def _objects(self, size_bytes: float, each_bytes: float) -> None:
        if not self.base.pools:
            self._heap(size_bytes)
            return
        self.blocks += size_bytes / each_bytes
        self.pooled += size_bytes
        if self.pooled > self.pools:
            self.pools = self.pooled
        elif size_bytes < 0:
            surplus = self.pools - self.pooled * 1.05
            # An arena goes back only when its last object is gone.
            self.pools -= max(0.0, surplus) * (1 - self.base.arena_retention)

    def _heap(self, size_bytes: float) -> None:
        self.used += size_bytes
        self.free -= size_bytes
        if size_bytes < 0:
            surplus = max(0.0, self.free - TRIM_BYTES)
            self.free -= surplus * (1 - self.base.retention)
        self.free = max(0.0, self.free)

    @property
    def rss_bytes(self) -> int:
        heap = self.used + self.free + self.pinned
        rest = self.base.shared_bytes + self.base.private_bytes - self.untouched
        return _whole_pages(heap + rest + self.pools + self.big + self.mapped)

    @property
    def in_use_bytes(self) -> int:
        return int(self.used + self.big)

    @property
    def charged_bytes(self) -> int:
        """What the group is charged for it: shared libraries were charged before."""
        return self.rss_bytes - self.base.shared_bytes + _whole_pages(self.tmpfs)


def _whole_pages(size_bytes: float) -> int:
    return math.ceil(size_bytes / PAGE_BYTES) * PAGE_BYTES


class Group:
    """The control group: page cache, a neighbour, and what is charged ahead."""

    def __init__(self, draw: Draw, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.active = 0.0
        self.inactive = 0.0
        self.neighbour = 0.0
        self._draw = draw
        self._kernel = round(draw.uniform(0.1, 0.9) * MIB)
        self._ahead = 0

    def is_over(self, memory: Memory) -> bool:
        """Say whether the kernel would kill: what cannot be reclaimed is too much."""
        rest = memory.charged_bytes + self.neighbour + self._kernel
        return rest > self.limit_bytes

    def usage_bytes(self, memory: Memory) -> int:
        if self._draw.chance(0.3):
            self._ahead = self._draw.choice((0, 0, CHARGED_AHEAD_PAGES)) * PAGE_BYTES
        others = self.active + self.inactive + self.neighbour + self._kernel
        return _whole_pages(memory.charged_bytes + others + self._ahead)
