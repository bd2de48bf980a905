"""Counts units of work (requests) as they begin and end, next to free of cost.

``itertools.count`` steps in one piece of C code: no lock, and no count is lost
between threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

#: Beyond so many routes they are counted as one.
MOST_ROUTES, OTHER_ROUTES = 256, "other routes"


@dataclass(frozen=True, slots=True)
class Work:
    """Units finished so far, and units under way."""

    finished: int
    in_flight: int


class WorkCounter:
    """Call ``begin()`` and ``end()`` around each unit; each costs about 0.05 µs.

    Both return a number without meaning. ``by_route`` asks for ``count_route()``, too.
    """

    __slots__ = (
        *("_abandoned", "_begun", "_ended", "_routes"),
        *("begin", "by_route", "end"),
    )

    def __init__(self) -> None:
        self._begun, self._ended = count(), count()
        self._abandoned = 0
        self.by_route = False
        self._routes: dict[str, count[int]] = {}
        self.begin = self._begun.__next__
        self.end = self._ended.__next__

    def read(self) -> Work | None:
        """Return the counts, or ``None`` when nothing was ever begun."""
        finished = _value(self._ended)  # first, so that none is under way twice
        begun = _value(self._begun)
        if not begun:
            return None
        return Work(finished, max(0, begun - finished - self._abandoned))

    def count_route(self, route: str | None) -> None:
        """Count a unit by its route, of which there are few. Cost: about 0.1 µs."""
        if route is None:
            return
        step = self._routes.get(route)
        if step is None:
            name = route if len(self._routes) < MOST_ROUTES else OTHER_ROUTES
            step = self._routes.setdefault(name, count())
        next(step)

    def read_routes(self) -> dict[str, int]:
        """Return how many units were counted by each route."""
        return {route: _value(step) for route, step in self._routes.copy().items()}

    def abandon(self) -> None:
        """Forget the units under way: in a forked child they are the parent's."""
        self._abandoned = max(0, _value(self._begun) - _value(self._ended))


def _value(counter: count[int]) -> int:
    """Read without stepping: its ``repr`` is "count(5)" in every version."""
    return int(repr(counter)[6:-1])
