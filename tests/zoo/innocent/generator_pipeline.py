"""A pipeline of generators, consumed to its end or closed in each call."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing

EXPECT = {"verdict": {"steady"}}


def numbers(start: int) -> Iterator[int]:
    yield from itertools.count(start)


def parse(values: Iterable[int]) -> Iterator[dict[str, int]]:
    for value in values:
        yield {"value": value, "digits": sum(map(int, str(value)))}


def running_mean(rows: Iterable[dict[str, int]]) -> Iterator[float]:
    total = 0
    for count, row in enumerate(rows, start=1):
        total += row["digits"]
        yield total / count


class Report:
    def __init__(self, size: int) -> None:
        self.size = size

    def last_mean(self, start: int) -> float:
        with closing(numbers(start)) as source:
            left, right = itertools.tee(itertools.islice(source, self.size))
            means = list(running_mean(parse(left)))
            return means[-1] + max(right)


REPORT = Report(size=120)


def step(i: int) -> float:
    return REPORT.last_mean(i * 10)
