"""An identity map on ``WeakValueDictionary``, with a list that keeps it all alive.

The list was added to stop entities from vanishing within one request.
"""

from __future__ import annotations

import random
from weakref import WeakValueDictionary

EXPECT = {
    "verdict": "leak",
    "sites": ["get", "load", "__init__"],
    "owner": "ENTITIES._keep_alive",
    "pattern": "registry",
    "habit": "append-only",
    "bytes_per_call": (790, 2900),
}


class Entity:
    def __init__(self, key: int, columns: dict[str, int]) -> None:
        self.key = key
        self.columns = columns
        self.dirty = False


class IdentityMap:
    def __init__(self) -> None:
        self._by_key: WeakValueDictionary[int, Entity] = WeakValueDictionary()
        self._keep_alive: list[Entity] = []

    def get(self, key: int) -> Entity:
        entity = self._by_key.get(key)
        if entity is None:
            entity = self.load(key)
            self._by_key[key] = entity  # LEAK
            self._keep_alive.append(entity)  # LEAK
        return entity

    def load(self, key: int) -> Entity:
        columns = {name: key + n for n, name in enumerate(COLUMNS)}  # LEAK
        return Entity(key, columns)  # LEAK


COLUMNS = ("id", "owner", "created", "changed", "state", "size")
ENTITIES = IdentityMap()
RANDOM = random.Random(77)


def step(i: int) -> int:
    # The working set slides: half of the rows read are new in each call.
    keys = [i * 2 + RANDOM.randrange(4) for _ in range(30)]
    entities = [ENTITIES.get(key) for key in keys]
    totals = sorted(sum(e.columns.values()) for e in entities for _ in range(25))
    return totals[len(totals) // 2]
