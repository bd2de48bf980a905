"""What was acquired and not released, by line: when that is a leak, and how to end it.

Rules of this file: counts and ages come in, suspects go out. A singleton, a pool that
fills and load that comes and goes are no leaks: a line is accused when what it has
acquired stays for longer than it may, and becomes more and more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from leakguard._core.patterns import Clues, match_pattern
from leakguard._core.records import Owner, Suspect
from leakguard._core.suspects import fingerprint, site_of
from leakguard._core.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from leakguard._core.records import Frame, Pattern
    from leakguard._core.suspects import Names

#: What is borrowed is given back within moments; what is owned may live for long.
#: What is shown is counted, and never accused: it has a bound of its own.
Nature = Literal["borrowed", "owned", "shown"]
#: What it means that a resource is collected before its release: that is its release;
#: nobody has closed it; or it stays taken for good.
Collected = Literal["released", "dropped", "lost"]

#: Counts that are kept of a line; from then on every other one.
_KEPT_COUNTS = 24
#: Overdue resources that a line is accused for, at the least.
_LEAST_BORROWED, _LEAST_OWNED = 2, 5
#: Unreleased resources that a diagnosis accuses a line for, at the least.
_LEAST_IN_DIAGNOSIS = 3
_SURE, _LIKELY = 0.95, 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of resource: its name in the plural, and what its leak is and needs.

    ``counted_as`` is said in place of the count of the unreleased, where what piles up
    is something else.
    """

    noun: str
    pattern: Pattern
    fix: str
    example: str | None = None
    nature: Nature = "owned"
    collected: Collected = "dropped"
    counted_as: str | None = None


class Standing(NamedTuple):
    """What one line has acquired of a kind and not released, at one moment.

    ``dropped`` were collected without a release. ``overdue`` are unreleased for longer
    than they may be, the first and the last of them since so many seconds. ``type`` is
    that of the oldest.
    """

    kind: Kind
    frame: Frame
    acquired: int
    unreleased: int
    dropped: int = 0
    overdue: int = 0
    oldest_seconds: float = 0.0
    newest_overdue_seconds: float = 0.0
    type: str | None = None

    @property
    def lost(self) -> int:
        """How many will not come back by themselves."""
        return self.overdue + self.dropped * (self.kind.collected == "lost")


class Counts(NamedTuple):
    """Counts at growing distances: ``every`` so many looks one is kept."""

    kept: tuple[int, ...] = ()
    every: int = 1
    skipped: int = 0

    def plus(self, count: int) -> Counts:
        """Return the counts with one more look's."""
        if self.skipped + 1 < self.every:
            return self._replace(skipped=self.skipped + 1)
        kept = (*self.kept, count)
        if len(kept) <= _KEPT_COUNTS:
            return Counts(kept, self.every)
        return Counts(kept[::2], 2 * self.every)


def rises(counts: Sequence[int], least: int = 6) -> bool:
    """Return whether each third of the counts lies above the one before it.

    In all of it: the lowest of a third is more than the highest of the third before.
    """
    third = len(counts) // 3
    if len(counts) < max(3, least):
        return False
    last = counts[-third:]
    middle = counts[-2 * third : -third]
    first = counts[: -2 * third]
    return max(first) < min(middle) and max(middle) < min(last)


def suspicion(
    now: Standing, counts: Counts, *, refused: int, grace_seconds: float
) -> float | None:
    """Return the confidence that a line leaks; ``None`` where nothing says so.

    ``refused`` is how often there was none left of this kind to acquire. Threads that
    borrow for good do so when they start: within ``grace_seconds``.
    """
    if now.kind.nature == "shown":
        return None
    borrowed = now.kind.nature == "borrowed"
    least = _LEAST_BORROWED if borrowed else _LEAST_OWNED
    if now.lost < least:
        return None
    if rises(counts.kept):
        return _SURE
    spread = now.oldest_seconds - now.newest_overdue_seconds
    goes_on = spread >= grace_seconds or now.lost > now.overdue
    if borrowed and (goes_on or refused):
        return _LIKELY
    return None


def rate_per_call(looks: Sequence[tuple[int, int]]) -> float | None:
    """Return what is left unreleased per call, where it rises to the end.

    ``looks`` are (calls made, unreleased then).
    """
    (first, before), (last, after) = looks[0], looks[-1]
    if after - before < _LEAST_IN_DIAGNOSIS or last <= first:
        return None
    if not rises([left for _, left in looks], least=3):
        return None
    return (after - before) / (last - first)


def accuse_line(
    now: Standing,
    names: Names,
    *,
    confidence: float = _SURE,
    owner: Owner | None = None,
    per_call: float | None = None,
) -> Suspect:
    """Return a line that does not release what it acquires, as a suspect."""
    site, kind = site_of(now.frame, names), now.kind
    return Suspect(
        rank=1,
        fingerprint=fingerprint(
            names.relative(site.file), site.function, kind.noun, kind.pattern
        ),
        source="resource",
        site=site,
        stack=(),
        type=now.type,
        owner=owner,
        growth_bytes_per_call=None,
        growth_count_per_call=per_call,
        growth_bytes_per_second=None,
        confidence=confidence,
        pattern=kind.pattern,
        hint=f"{_evidence(now)} {kind.fix}",
        example=kind.example,
    )


def accuse_tracked(
    name: str, kind: str, count: int, owner: Owner | None, seconds: float
) -> Suspect:
    """Return objects that should have died as a suspect; the habit is their owner's."""
    path = owner.path if owner else None
    clues = Clues(types=(kind,), entry_types=(kind,), owner_path=path)
    pattern, habit, hint, example = match_pattern(clues)
    what = f"{count} {name!r} are still there, the oldest" if count > 1 else None
    evidence = (
        f"{what or f'{name!r} is still there,'} {format_seconds(seconds)} after it "
        "should be gone."
    )
    return Suspect(
        rank=1,
        fingerprint=fingerprint(name, None, kind, pattern),
        source="type",
        site=None,
        stack=(),
        type=kind,
        owner=owner,
        growth_bytes_per_call=None,
        growth_count_per_call=None,
        growth_bytes_per_second=None,
        confidence=_SURE if count > 1 else _LIKELY,
        pattern=pattern,
        hint=f"{evidence} {hint}",
        example=example,
        habit=habit,
    )


def with_retained(
    suspects: Sequence[Suspect], retained: Iterable[Suspect]
) -> tuple[Suspect, ...]:
    """Return both, those that name the same line as one, ranked anew.

    The growth was measured; what the habit is, who counted knows better.
    """
    lines = {(s.site.file, s.site.line): s for s in suspects if s.site is not None}
    extra = []
    for found in retained:
        site = found.site
        known = lines.get((site.file, site.line)) if site else None
        if known is None:
            extra.append(found)
            continue
        lines[known.site.file, known.site.line] = replace(  # type: ignore[union-attr]
            known,
            source=found.source,
            fingerprint=found.fingerprint,
            pattern=found.pattern,
            hint=found.hint,
            example=found.example,
            habit=found.habit,
            owner=known.owner or found.owner,
        )
    merged = [
        s if s.site is None else lines[s.site.file, s.site.line] for s in suspects
    ]
    return tuple(
        replace(found, rank=rank) for rank, found in enumerate([*merged, *extra], 1)
    )


def _evidence(now: Standing) -> str:
    if now.kind.counted_as is not None:
        return f"{now.lost} {now.kind.counted_as}."
    counted = f"{now.lost} of {now.acquired} {now.kind.noun} of this line"
    text = f"{counted} are not released"
    if now.overdue:
        text += f", the oldest for {format_seconds(now.oldest_seconds)}"
    if now.dropped:
        text += f"; {now.dropped} were dropped and never closed"
    return f"{text}."
