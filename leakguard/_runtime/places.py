"""Follows containers by name: a walk now and then, and cheap looks in between.

Rules of this file: nothing of the program is held between two calls, only paths and
lengths, of a bounded number of containers; whatever is published is replaced whole, so
that a look and a walk in two threads need no lock.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from leakguard._core.places import Growing, Place, looked
from leakguard._readers.containers import length_of
from leakguard._readers.holders import describe_place
from leakguard._readers.places import Found, Route, chain_along, containers_of, end_of
from leakguard._readers.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Container

#: Containers that are followed, and those of a walk whose lengths are remembered.
MOST_FOLLOWED, MOST_REMEMBERED = 200, 2_000
#: Objects that a walk sees: beside a program that runs, less than a search may.
WALKED_OBJECTS = 50_000
#: What a walk is expected to take of the processor: 3 us per object, 20 per container.
WALK_SECONDS = 0.2


class Places:
    """The containers that are followed; ``growing`` says which of them grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Follow nothing yet."""
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything, as in a forked child."""
        self._followed: dict[str, tuple[Route, Place]] = {}
        #: By the path's hash: the length at the last walk.
        self._lengths: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many containers are followed."""
        return len(self._followed)

    def walk(
        self,
        out_of_time: Callable[[], bool] = lambda: False,
        rest: Callable[[float], object] = time.sleep,
    ) -> None:
        """Look for containers, and choose those to follow.

        Those that grow come first, then those that have grown most since the last walk,
        then the longest. Cost: up to 0.3 s of processor time, in steps of some ms.
        """
        walk = Walk(WALKED_OBJECTS, {id(self._followed), id(self._lengths)}, rest)
        walk.run(out_of_time)
        found = containers_of(walk, MOST_REMEMBERED, out_of_time)
        del walk
        now = self._clock()
        growing = {
            path: followed
            for path, followed in self._followed.items()
            if followed[1].grows(now)
        }
        found.sort(key=lambda item: self._interest(item, growing))
        chosen: dict[str, tuple[Route, Place]] = {}
        for route, kind, length in found[:MOST_FOLLOWED]:
            place = Place(route.path, kind, length, now, length, now)
            chosen[route.path] = growing.get(route.path, (route, place))
        self._lengths = {hash(item.route.path): item.length for item in found}
        self._followed = chosen

    def look(self) -> None:
        """Note how long each is now. Cost: below 1 ms for 200."""
        now = self._clock()
        after = {}
        for path, (route, place) in self._followed.items():
            container = end_of(route)
            if container is None:
                continue
            length = length_of(container)
            if length != place.length:
                place = looked(place, length, now)  # noqa: PLW2901 - the newer one
            after[path] = route, place
        self._followed = after

    def growing(self) -> tuple[Growing, ...]:
        """Return those that only ever grew, described. Cost: 1 to 10 ms for each."""
        now = self._clock()
        found = []
        for route, place in self._followed.values():
            chain = chain_along(route) if place.grows(now) else []
            if chain:
                rate = (place.length - place.first_length) / (now - place.first_seconds)
                holding = describe_place(chain, route.path, place)
                found.append(Growing(holding, place.rises, rate))
        return tuple(found)

    def _interest(self, item: Found, growing: Container[str]) -> tuple[bool, int, int]:
        path, length = item.route.path, item.length
        more = length - self._lengths.get(hash(path), length)
        return path not in growing, -more, -length
