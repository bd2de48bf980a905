"""Labelled histories of simulated programs, to check a verdict that must generalize.

Rules of this file: the same seed gives the same histories, one of each family; no
real process, no sleeping. What is simulated is a small model of a process and its
control group, so that the columns agree with each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulated import caches, hidden_leaks, leaks, returning, riddles
from tests.simulated.memory import Draw
from tests.simulated.scene import History, play

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FAMILIES", "History", "histories", "history"]

_PREFIXES = ("leak_", "cache_", "load_", "steady_", "frag_", "unknown_")
#: Every family by its name, which begins with what it is.
FAMILIES = {
    name: family
    for module in (leaks, hidden_leaks, caches, returning, riddles)
    for name, family in vars(module).items()
    if name.startswith(_PREFIXES)
}


def history(family: str, seed: int) -> History:
    """Return the one history of a family and a seed. Cost: about 10 ms."""
    draw = Draw(f"{family} {seed}")
    return play(FAMILIES[family](draw), f"{family}-{seed}")


def histories(seed: int) -> Iterator[History]:
    """Yield one history of each family."""
    for family in FAMILIES:
        yield history(family, seed)
