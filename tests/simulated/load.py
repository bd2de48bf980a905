"""The load of a simulated program: how many requests come, how long they take.

Rules of this file: a shape gives the load, around 1, at each fraction of the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulated.memory import Draw

    Shape = Callable[[float], float]

_GRID = 400


def constant(_fraction: float) -> float:
    return 1.0


def diurnal(draw: Draw, cycles: float | None = None, trend: float = 0.0) -> Shape:
    """Return days and nights; with a trend, each day is busier than the last."""
    cycles = cycles or draw.uniform(2.2, 7.5)
    depth, phase = draw.uniform(0.6, 0.98), draw.random()

    def shape(fraction: float) -> float:
        wave = math.cos(2 * math.pi * (cycles * fraction + phase))
        return max(0.02, 1 + depth * wave) * (1 + trend * fraction)

    return shape


def nights(draw: Draw, cycles: float | None = None) -> Shape:
    """Return days of work and nights of none at all."""
    cycles = cycles or draw.uniform(3.3, 8.5)
    share, phase = draw.uniform(0.4, 0.7), draw.random()
    return lambda fraction: float((cycles * fraction + phase) % 1 < share) / share


def bursts(draw: Draw, count: int | None = None, last: float = 0.85) -> Shape:
    """Return a quiet load with short bursts, the last of them at a fraction."""
    factor = draw.uniform(4, 15)
    spans = [(last, last + 0.03)]
    for _ in range(count or draw.randint(5, 14)):
        begin = draw.uniform(0.02, last)
        spans.append((begin, begin + draw.uniform(0.01, 0.05)))
    return lambda x: factor if any(a <= x < b for a, b in spans) else 0.5


def ramp(low: float, high: float) -> Shape:
    return lambda fraction: low + (high - low) * fraction


def plateau(top: float) -> Shape:
    """Return a load that rises to a level and stays there."""
    return lambda fraction: 0.1 + 1.2 * min(1.0, fraction / top)


def hill(draw: Draw) -> Shape:
    """Return one rise and one fall, quiet before and after."""
    top, width = draw.uniform(0.35, 0.6), draw.uniform(0.2, 0.3)
    return lambda x: 0.1 + 2.5 * max(0.0, 1 - abs(x - top) / width)


def weekly(draw: Draw) -> Shape:
    """Return a week, from trough to trough, with a quieter weekend."""
    days = [draw.uniform(0.8, 1.3) for _ in range(5)] + [draw.uniform(0.2, 0.6)] * 2
    first = draw.randrange(7)

    def shape(fraction: float) -> float:
        day = min(6, int(7 * fraction))
        wave = 1 - math.cos(2 * math.pi * 7 * fraction)
        return 0.1 + wave * days[(day + first) % 7]

    return shape


def pulses(draw: Draw, count: int | None = None) -> Shape:
    """Return equal peaks at equal distances, with quiet between them."""
    cycles, width = count or draw.randint(4, 9), draw.uniform(0.15, 0.4)
    return lambda x: 3.0 if 0.3 <= (cycles * x) % 1 < 0.3 + width else 0.3


@dataclass(kw_only=True)
class Load:
    """Requests as they arrive; ``step`` moves the time on and returns their number.

    The rate wanders by ``noise`` (a share of it) with a memory of some steps.
    """

    shape: Shape
    per_second: float
    latency_seconds: float
    noise: float
    duration_seconds: float
    in_flight: int = 0
    _wander: float = 0.0

    def step(self, draw: Draw, t_seconds: float, dt_seconds: float) -> int:
        self._wander = 0.85 * self._wander + draw.gauss(0.0, self.noise) * 0.53
        wanted = self.shape(t_seconds / self.duration_seconds) * self.per_second
        rate = wanted * math.exp(self._wander)
        self.in_flight = draw.poisson(rate * self.latency_seconds)
        return draw.poisson(rate * dt_seconds)

    def expected(self, begin: float = 0.0, end: float = 1.0) -> float:
        """Return how many requests come between two fractions of the run."""
        step = (end - begin) / _GRID
        mean = sum(self.shape(begin + step * (i + 0.5)) for i in range(_GRID)) / _GRID
        return mean * self.per_second * self.duration_seconds * (end - begin)
