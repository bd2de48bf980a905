"""Containers that are followed by name: how fast they grow, and whom that accuses.

A container that only ever gets longer, look after look, is evidence beside the lines
that allocate, and where no line was caught a suspect of its own, unless it has a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from leakguard._core.patterns import Clues, match_pattern
from leakguard._core.records import Owner, Suspect
from leakguard._core.suspects import fingerprint
from leakguard._core.units import format_number

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from leakguard._core.evidence import Holding
    from leakguard._core.records import Link

#: Looks at which a container has to be longer than before, and entries more in all.
_LEAST_RISES, _LEAST_ENTRIES = 3, 16
#: It has stopped if for this share of the time nothing was added.
_MOST_QUIET_SHARE = 0.25
#: Suspects that stand for a container alone, and bytes that it has to gain a second.
_MOST_SUSPECTS, _LEAST_BYTES_PER_SECOND = 3, 256.0
_MOST_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Place:
    """One container by its path: its length at the first look and at the last one.

    ``seconds`` is when the length was last seen to change; ``rises`` and ``falls``
    count the looks at which it was longer and shorter than before.
    """

    path: str
    type: str
    first_length: int
    first_seconds: float
    length: int
    seconds: float
    rises: int = 0
    falls: int = 0

    def grows(self, now_seconds: float) -> bool:
        """Return whether it only ever grew, more than by chance, and still does."""
        more = self.length - self.first_length
        if self.rises < _LEAST_RISES or self.falls or more < _LEAST_ENTRIES:
            return False
        quiet = now_seconds - self.seconds
        return quiet <= _MOST_QUIET_SHARE * (now_seconds - self.first_seconds)


@dataclass(frozen=True, slots=True)
class Growing:
    """A place that grows, described as a holder, and how fast."""

    holding: Holding
    rises: int
    entries_per_second: float


def looked(place: Place, length: int, seconds: float) -> Place:
    """Return a place after a look at which it has another length."""
    return Place(
        place.path,
        place.type,
        place.first_length,
        place.first_seconds,
        length,
        seconds,
        place.rises + (length > place.length),
        place.falls + (length < place.length),
    )


def with_evidence(
    suspects: Iterable[Suspect], growing: Sequence[Growing]
) -> tuple[Suspect, ...]:
    """Return the suspects, those held by a growing place with its growth."""
    rates = {key_of(item.holding): item.entries_per_second for item in growing}
    return tuple(_with_rate(suspect, rates) for suspect in suspects)


def accuse_places(
    growing: Iterable[Growing],
    known: Container[tuple[str, str]],
    *,
    seconds_per_unit: float | None,
) -> tuple[Suspect, ...]:
    """Return suspects for places that grow without a bound and that no line explains.

    ``known`` are the keys of the holders that are accused or acquitted already. Ranks
    count from 1; the rates are per second, and per unit of work where that is known.
    """
    found = [
        _suspect(item, seconds_per_unit)
        for item in growing
        if item.holding.bound is None and key_of(item.holding) not in known
    ]
    found.sort(key=lambda suspect: -(suspect.growth_bytes_per_second or 0.0))
    kept = [
        suspect
        for suspect in found[:_MOST_SUSPECTS]
        if (suspect.growth_bytes_per_second or 0.0) >= _LEAST_BYTES_PER_SECOND
    ]
    return tuple(replace(one, rank=rank) for rank, one in enumerate(kept, start=1))


def key_of(holding: Holding) -> tuple[str, str]:
    """Return what two paths to one container have in common: its last name, its type.

    A module that imports a name from another one leads to the same object.
    """
    return holding.path.rpartition(".")[2], holding.type


def _with_rate(suspect: Suspect, rates: Mapping[tuple[str, str], float]) -> Suspect:
    if suspect.owner is None:
        return suspect
    links = tuple(
        _with_more(link, rates.get((link.name.rpartition(".")[2], link.type)))
        for link in suspect.owner.links
    )
    return replace(suspect, owner=replace(suspect.owner, links=links))


def _with_more(link: Link, rate: float | None) -> Link:
    if link.status != "leaking" or rate is None:
        return link
    gain = f"it gains {format_number(rate)} entries per second"
    return replace(link, why=f"{link.why}; {gain}")


def _suspect(item: Growing, seconds_per_unit: float | None) -> Suspect:
    holding, rate = item.holding, item.entries_per_second
    each = (holding.retained_bytes or 0) / max(1, holding.length)
    links = tuple(_with_more(link, rate) for link in holding.links)
    clues = Clues(
        types=holding.entry_types,
        entry_types=holding.entry_types,
        holder_type=holding.type,
        owner_path=holding.path,
        module=holding.module,
        owner_types=tuple(link.type for link in links),
        is_unbounded_lru=holding.unbounded_lru,
    )
    pattern, habit, hint, example = match_pattern(clues)
    pace = seconds_per_unit
    return Suspect(
        rank=1,
        fingerprint=fingerprint(holding.path, None, holding.type, pattern),
        source="container",
        site=None,
        stack=(),
        type=next(iter(holding.entry_types), None),
        owner=Owner(holding.path, links, holding.retained_bytes, holding.is_estimate),
        growth_bytes_per_call=None if pace is None else rate * each * pace,
        growth_count_per_call=None if pace is None else rate * pace,
        growth_bytes_per_second=rate * each,
        confidence=min(_MOST_CONFIDENCE, 1 - 0.5**item.rises),
        pattern=pattern,
        hint=hint,
        example=example,
        habit=habit,
    )
