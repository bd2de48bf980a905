"""Which suspects somebody has put aside, with a reason, and what is left then.

Rules of this file: pure; nothing is dropped: what is put aside stands beside the
rest with its reason, and a suppression that is over is said to be over. Dates are ISO
texts, whose order is that of time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from leakguard._core.priorities import expression
from leakguard._core.records import LeakguardError, Suppressed, Verdict
from leakguard._core.robust import sum_of_known
from leakguard._core.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard._core.records import Suspect

#: More would be a list of everything rather than of exceptions.
MOST_SUPPRESSIONS = 1_000
_MOST_CHARACTERS = 1_000
_KEYS = ("fingerprint", "path", "reason", "expires")
_FINGERPRINT = re.compile(r"[0-9a-f]{12}")
_DATE = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))(?:[T ].*)?")
#: What is put aside must explain this share of the growth to stand for all of it.
_EXPLAINED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Suppression:
    """One leak that is known: by fingerprint, or by a pattern of file or owner.

    ``expires`` is the last day on which it counts, as ``2026-12-31``.
    """

    reason: str
    fingerprint: str | None = None
    path: str | None = None
    expires: str | None = None

    @property
    def what(self) -> str:
        """What it names, in words."""
        if self.fingerprint is not None:
            return f"fingerprint {self.fingerprint}"
        return f"path {self.path}"

    def is_over(self, today: str) -> bool:
        """Return whether it counts no more."""
        return self.expires is not None and self.expires < today

    def covers(self, suspect: Suspect) -> bool:
        """Return whether it names this suspect.

        In a path ``*`` stands for any characters and ``?`` for one; a file matches
        from any of its directories on, an owner as a whole.
        """
        if self.fingerprint is not None:
            return suspect.fingerprint == self.fingerprint
        matches = re.compile(
            f"(?:.*/)?{expression(self.path or '', count())}", re.DOTALL
        ).fullmatch
        places = [suspect.owner.path] if suspect.owner else []
        if suspect.site:
            places.append(suspect.site.file.replace("\\", "/"))
        return any(map(matches, places))


class Sifted(NamedTuple):
    """Findings without what is put aside; ``notes`` are sentences about the rules."""

    verdict: Verdict
    suspects: tuple[Suspect, ...]
    suppressed: tuple[Suppressed, ...] = ()
    notes: tuple[str, ...] = ()


def suppressions_of(given: object) -> tuple[Suppression, ...]:
    """Return the suppressions that a parsed file lists.

    Raises:
        LeakguardError: the list makes no sense; one sentence says where.

    """
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise LeakguardError("suppress is a list of tables, written [[suppress]]")
    if len(given) > MOST_SUPPRESSIONS:
        raise LeakguardError(f"there are more than {MOST_SUPPRESSIONS} suppressions")
    return tuple(
        _suppression(one, f"suppress number {number}")
        for number, one in enumerate(given, start=1)
    )


def sift(
    verdict: Verdict,
    suspects: Sequence[Suspect],
    rules: Sequence[Suppression],
    today: str,
) -> Sifted:
    """Return the findings without the suspects that a rule puts aside today.

    Where nothing else grows, the verdict is ``steady``; but what is put aside must
    explain the growth: a new leak beside it, not named yet, is none the less one.
    """
    kept: list[Suspect] = []
    aside: list[Suppressed] = []
    for suspect in suspects:
        rule = _rule_for(suspect, rules, today)
        if rule is None:
            kept.append(replace(suspect, rank=len(kept) + 1))
        else:
            aside.append(Suppressed(rule.reason, rule.expires, suspect))
    notes = tuple(
        f"The suppression of {rule.what} ({rule.reason}) has expired on {rule.expires}"
        " and counts no more."
        for rule in rules
        if rule.is_over(today)
    )
    if aside:
        verdict = _verdict_without(verdict, aside, alone=not kept)
    return Sifted(verdict, tuple(kept), tuple(aside), notes)


def _rule_for(
    suspect: Suspect, rules: Sequence[Suppression], today: str
) -> Suppression | None:
    for rule in rules:
        if not rule.is_over(today) and rule.covers(suspect):
            return rule
    return None


def _verdict_without(
    verdict: Verdict, aside: Sequence[Suppressed], *, alone: bool
) -> Verdict:
    """Return the verdict on the growth that is left, and say what is not counted."""
    suspects = [one.suspect for one in aside]
    per_call = sum_of_known(one.growth_bytes_per_call for one in suspects)
    per_second = sum_of_known(one.growth_bytes_per_second for one in suspects)
    rest = replace(
        verdict,
        growth_bytes_per_call=_less(verdict.growth_bytes_per_call, per_call),
        growth_bytes_per_second=_less(verdict.growth_bytes_per_second, per_second),
    )
    rate = f"{format_bytes(per_second or 0.0)} per second"
    if per_call is not None:
        rate = f"{format_bytes(per_call)} per call"
    number = "1 suspect" if len(aside) == 1 else f"{len(aside)} suspects"
    pairs = (
        (verdict.growth_bytes_per_call, per_call),
        (verdict.growth_bytes_per_second, per_second),
    )
    if alone and _explains(pairs):
        reason = f"Nothing grows but what is suppressed: {number}, {rate}."
        return replace(rest, kind="steady", reason=reason)
    reason = f"{verdict.reason} Of that, {rate} is suppressed ({number})."
    return replace(rest, reason=reason)


def _explains(pairs: Sequence[tuple[float | None, float | None]]) -> bool:
    for rate, explained in pairs:
        if rate and explained is not None:
            return explained >= _EXPLAINED_SHARE * rate
    return True  # no rate is known: the suspects are all that speaks of growth


def _less(rate: float | None, part: float | None) -> float | None:
    return rate if rate is None or part is None else max(0.0, rate - part)


def _suppression(given: dict[str, object], where: str) -> Suppression:
    for key in given:
        if key not in _KEYS:
            raise LeakguardError(
                f"{where}: there is no {key!a}; the keys are {', '.join(_KEYS)}"
            )
    if ("fingerprint" in given) == ("path" in given):
        raise LeakguardError(f"{where}: it names either a fingerprint or a path")
    found = {key: _text(key, given[key], where) for key in given}
    if "reason" not in found:
        raise LeakguardError(f"{where}: it has no reason; say why this is no trouble")
    return Suppression(**found)


def _text(key: str, value: object, where: str) -> str:
    if key == "expires":  # a date of TOML is no text
        day = _DATE.fullmatch(str(value))
        if day is None:
            raise LeakguardError(f"{where}: expires is a date such as 2026-12-31")
        return day[1]
    if not isinstance(value, str) or not value.strip():
        raise LeakguardError(f"{where}: its {key} is a text that says something")
    if len(value) > _MOST_CHARACTERS:
        raise LeakguardError(f"{where}: its {key} is too long")
    if key == "fingerprint" and not _FINGERPRINT.fullmatch(value):
        raise LeakguardError(f"{where}: a fingerprint is 12 digits of 0-9 and a-f")
    return value
