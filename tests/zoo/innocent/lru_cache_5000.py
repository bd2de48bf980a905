"""A large ``lru_cache`` (5000 parsed user agents) that needs a while to fill."""

from __future__ import annotations

import functools
import random
import re

EXPECT = {"verdict": {"cache", "steady"}}

RANDOM = random.Random(5000)
PRODUCT = re.compile(r"([A-Za-z]+)/([\d.]+)")


@functools.lru_cache(maxsize=5000)
def parse_agent(agent: str) -> dict[str, str]:
    return {name.lower(): version for name, version in PRODUCT.findall(agent)}


def random_agent() -> str:
    major, build = RANDOM.randrange(60, 140), RANDOM.randrange(10_000)
    return f"Mozilla/5.0 (X11) Engine/537.{build} Browser/{major}.0"


class Statistics:
    def __init__(self) -> None:
        self.by_major = [0] * 200

    def note(self, agent: str) -> None:
        self.by_major[int(parse_agent(agent)["browser"].split(".")[0])] += 1


STATISTICS = Statistics()


def step() -> int:
    STATISTICS.note(random_agent())
    return max(STATISTICS.by_major)
