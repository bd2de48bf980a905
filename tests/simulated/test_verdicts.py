"""The verdict is right over simulated programs of every kind.

An answer is accepted when it is the label or one of the other answers that an honest
judge may give (``also_ok``). The figures are those of the verdict's reference page.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from leakguard._core.trend import Trend, judge_history
from tests.simulated.families import History, histories

SEEDS = range(5)
LEAKS = {"leak", "native-leak"}
RATE_TOLERANCE = 0.25


class Judged(NamedTuple):
    history: History
    trend: Trend

    @property
    def answers(self) -> set[str]:
        return {self.history.label, *self.history.also_ok}

    @property
    def is_accepted(self) -> bool:
        return self.trend.kind in self.answers

    @property
    def is_accused(self) -> bool:
        return self.trend.kind in LEAKS and not self.answers & LEAKS

    @property
    def rate_ratio(self) -> float | None:
        """The rate against the true one; ``None`` unless a leak was found."""
        truth = self.history.rate_bytes_per_second
        if self.history.label != "leak" or self.trend.kind not in LEAKS or not truth:
            return None
        return (self.trend.growth_bytes_per_second or 0.0) / truth

    @property
    def has_its_rate(self) -> bool:
        return self.rate_ratio is None or abs(self.rate_ratio - 1) <= RATE_TOLERANCE

    def __str__(self) -> str:
        name, label = self.history.name, self.history.label
        ratio = "" if self.rate_ratio is None else f" (rate x {self.rate_ratio:.2f})"
        return f"{name}: {label} -> {self.trend.kind}{ratio}: {self.trend.reason}"


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    """Return all histories with their verdicts. Cost: some seconds."""
    return [
        Judged(history, judge_history(history.samples))
        for seed in SEEDS
        for history in histories(seed)
    ]


def _lines(wrong: list[Judged], count: int) -> str:
    return "\n".join([f"{len(wrong)} of {count}:", *map(str, wrong)])


def test_answers_are_accepted(judged: list[Judged]) -> None:
    refused = [one for one in judged if not one.is_accepted]
    assert len(refused) <= 0.03 * len(judged), _lines(refused, len(judged))


def test_leaks_are_found(judged: list[Judged]) -> None:
    leaks = [one for one in judged if one.history.label == "leak"]
    missed = [one for one in leaks if not one.is_accepted]
    assert len(missed) <= 0.05 * len(leaks), _lines(missed, len(leaks))


def test_innocents_are_not_called_leaks(judged: list[Judged]) -> None:
    innocents = [one for one in judged if not one.answers & LEAKS]
    accused = [one for one in innocents if one.is_accused]
    assert len(accused) <= 0.01 * len(innocents), _lines(accused, len(innocents))


def test_found_leaks_have_their_rate(judged: list[Judged]) -> None:
    found = [one for one in judged if one.rate_ratio is not None]
    far_off = [one for one in found if not one.has_its_rate]
    assert len(far_off) <= 0.1 * len(found), _lines(far_off, len(found))
