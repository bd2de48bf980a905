"""What a process has open and alive, counted by name, and what is left of it.

Rules of this file: names and counts only. A number within a name stands for any
other (``worker-3``, ``/tmp/x/7``), so that the same thing left twice has one name.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, NamedTuple

from leakguard._core.patterns import Clues, Match, match_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
#: Kind -> the word for one of them, and the type whose advice applies to all.
KINDS: Mapping[str, tuple[str, str | None]] = {
    "objects": ("object", None),
    "tasks": ("task", "asyncio.Task"),
    "threads": ("thread", "threading.Thread"),
    "files": ("open file", "FileIO"),
    "connections": ("open connection", "socket"),
}


class Left(NamedTuple):
    """So many things of one kind and name that were not there before."""

    kind: str
    name: str
    number: int

    def __str__(self) -> str:
        """Say it in words: ``2 threads (worker-N)``."""
        noun = KINDS[self.kind][0]
        return f"{self.number} {noun}{'s' * (self.number > 1)} ({self.name})"

    @property
    def advice(self) -> Match:
        """The pattern it is, and what to change."""
        known = KINDS[self.kind][1] or self.name
        return match_pattern(Clues(types=(known,), entry_types=(known,)))


@dataclass(frozen=True, slots=True)
class Belongings:
    """Counts by name of each kind; ``None`` where a kind was not or cannot be read."""

    objects: Mapping[str, int] | None = None
    tasks: Mapping[str, int] | None = None
    threads: Mapping[str, int] | None = None
    files: Mapping[str, int] | None = None
    connections: Mapping[str, int] | None = None

    def left_since(self, before: Belongings) -> tuple[Left, ...]:
        """Return what is here and was not ``before``, kind by kind, most first."""
        found: list[Left] = []
        for part in fields(self):
            now, then = getattr(self, part.name), getattr(before, part.name)
            if now is None or then is None:
                continue
            more = Counter(now)
            more.subtract(then)
            found += [Left(part.name, k, n) for k, n in more.most_common() if n > 0]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Difference:
    """What is there now and was not at a check; false when there is nothing."""

    left: tuple[Left, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.left)

    def __str__(self) -> str:
        return ", ".join(map(str, self.left)) or "nothing"

    def of(self, kind: str) -> Mapping[str, int]:
        """Return the counts by name of one kind."""
        return {item.name: item.number for item in self.left if item.kind == kind}


def in_every(runs: Sequence[Iterable[Left]]) -> tuple[Left, ...]:
    """Return what each of the runs left behind, with the least number of any.

    What only some runs leave is a pool that fills, or a cache.
    """
    by_name = [{item[:2]: item for item in run} for run in runs]
    return tuple(
        item._replace(number=min(other[name].number for other in by_name))
        for name, item in by_name[0].items()
        if all(name in other for other in by_name)
    )


def without(left: Iterable[Left], ignored: Sequence[str]) -> tuple[Left, ...]:
    """Return what no pattern names; in a pattern ``*`` stands for any characters."""
    whole = "|".join(".*".join(map(re.escape, text.split("*"))) for text in ignored)
    if not whole:
        return tuple(left)
    known = re.compile(whole).fullmatch
    return tuple(item for item in left if not known(item.name))


def count_names(names: Iterable[str]) -> Mapping[str, int]:
    """Count names, taking those that differ in numbers only for one."""
    return Counter(_NUMBER.sub("N", name) for name in names)


def only(found: Belongings, kinds: Sequence[str]) -> Belongings:
    """Return the belongings of these kinds; the others count as unread."""
    return replace(found, **{kind: None for kind in KINDS if kind not in kinds})
