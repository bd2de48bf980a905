"""An identity map on ``WeakValueDictionary``: entities die with their request."""

from __future__ import annotations

import random
from weakref import WeakValueDictionary

EXPECT = {"verdict": {"steady", "cache"}}

RANDOM = random.Random(33)


class Entity:
    def __init__(self, key: int) -> None:
        self.key = key
        self.columns = {name: key + n for n, name in enumerate(COLUMNS)}


class IdentityMap:
    def __init__(self) -> None:
        self._by_key: WeakValueDictionary[int, Entity] = WeakValueDictionary()

    def get(self, key: int) -> Entity:
        entity = self._by_key.get(key)
        if entity is None:
            entity = self._by_key[key] = Entity(key)
        return entity

    def __len__(self) -> int:
        return len(self._by_key)


COLUMNS = ("id", "owner", "created", "changed", "state", "size")
ENTITIES = IdentityMap()


def step(i: int) -> int:
    keys = [i * 2 + RANDOM.randrange(8) for _ in range(40)]
    entities = [ENTITIES.get(key) for key in keys]
    return len({id(entity) for entity in entities}) + len(ENTITIES)
