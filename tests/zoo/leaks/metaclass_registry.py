"""A plugin metaclass registers every class, even those made inside a function."""

from __future__ import annotations

EXPECT = {
    "verdict": "leak",
    "sites": ["__new__", "make_filter"],
    "owner": "PluginMeta.registry",
    "pattern": "class",
    "habit": "class-per-call",
    "bytes_per_call": (1200, 4400),
}


class PluginMeta(type):
    registry: list[type] = []

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]
    ) -> PluginMeta:
        plugin = super().__new__(cls, name, bases, namespace)  # LEAK
        cls.registry.append(plugin)  # LEAK
        return plugin


class Filter(metaclass=PluginMeta):
    threshold = 0

    def keep(self, value: int) -> bool:
        return value > self.threshold


def make_filter(minimum: int) -> Filter:
    class Above(Filter):  # LEAK
        threshold = minimum

        def keep(self, value: int) -> bool:  # LEAK
            return super().keep(value) and value % 2 == 0

    return Above()


def step(i: int) -> int:
    values = [(i * n * 7919) % 1000 for n in range(2000)]
    chosen = make_filter(i % 900)
    return sum(value for value in values if chosen.keep(value))
