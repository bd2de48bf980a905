"""What has become of each suspect between two reports, by fingerprint.

Rules of this file: pure; suspects of one fingerprint are one bug, whose rates add
up; what is suppressed is compared as well, so that putting a suspect aside does not
make it look gone. A change of rate below a quarter is none: two looks at the same
program differ by some per cent.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

# What the fields are made of is asked for when a comparison is written.
from leakguard._core.records import Suspect, VerdictKind  # noqa: TC001
from leakguard._core.robust import sum_of_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from leakguard._core.records import Report

ChangeKind = Literal["new", "faster", "same", "slower", "gone"]
Unit = Literal["call", "second"]

CHANGES: tuple[ChangeKind, ...] = get_args(ChangeKind)
#: A rate that has changed by less than this factor is the same.
SAME_RATE = 1.25


@dataclass(frozen=True, slots=True)
class Change:
    """One bug in two reports; ``suspect`` is from the newer one that has it.

    ``growth_bytes`` and ``growth_bytes_before`` are per ``unit``, the same for both
    where both are known; ``None`` is not known, or not there.
    """

    change: ChangeKind
    fingerprint: str
    growth_bytes: float | None
    growth_bytes_before: float | None
    unit: Unit | None
    is_suppressed: bool
    suspect: Suspect


@dataclass(frozen=True, slots=True)
class Look:
    """One of the two reports: when it was made, and its verdict."""

    created_at: str
    verdict: VerdictKind


@dataclass(frozen=True, slots=True)
class Comparison:
    """The changes, the bad news first; ``notes`` say what they do not tell."""

    now: Look
    before: Look
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    def count(self, change: ChangeKind) -> int:
        """Return how many bugs have changed so."""
        return Counter(row.change for row in self.changes)[change]


class _Bug(NamedTuple):
    """The suspects of one fingerprint in one report."""

    suspects: tuple[Suspect, ...]
    is_suppressed: bool

    def rate(self, unit: Unit) -> float | None:
        name = f"growth_bytes_per_{unit}"
        return sum_of_known(getattr(one, name) for one in self.suspects)


def compare(report: Report, before: Report) -> Comparison:
    """Return what has become of each suspect since an older report."""
    new, old = _bugs(report), _bugs(before)
    rows = [_change(digits, new.get(digits), old.get(digits)) for digits in new | old]
    rows.sort(key=lambda row: (CHANGES.index(row.change), -_speed(row)))
    return Comparison(
        Look(report.created_at, report.verdict.kind),
        Look(before.created_at, before.verdict.kind),
        tuple(rows),
        tuple(_notes(report, before, rows)),
    )


def _bugs(report: Report) -> dict[str, _Bug]:
    aside = [one.suspect for one in report.suppressed]
    found = _by_fingerprint(aside, is_suppressed=True)
    return found | _by_fingerprint(report.suspects, is_suppressed=False)


def _by_fingerprint(
    suspects: Iterable[Suspect], *, is_suppressed: bool
) -> dict[str, _Bug]:
    groups: dict[str, list[Suspect]] = {}
    for suspect in suspects:
        groups.setdefault(suspect.fingerprint, []).append(suspect)
    return {
        digits: _Bug(tuple(group), is_suppressed) for digits, group in groups.items()
    }


def _change(fingerprint: str, new: _Bug | None, old: _Bug | None) -> Change:
    bugs = [bug for bug in (new, old) if bug is not None]
    unit = _common_unit(bugs)
    rate = new.rate(unit) if new and unit else None
    rate_before = old.rate(unit) if old and unit else None
    change: ChangeKind = "gone" if new is None else "new"
    if new and old:
        change = _speed_change(rate, rate_before)
    return Change(
        change=change,
        fingerprint=fingerprint,
        growth_bytes=rate,
        growth_bytes_before=rate_before,
        unit=unit,
        is_suppressed=bugs[0].is_suppressed,
        suspect=bugs[0].suspects[0],
    )


def _common_unit(bugs: Sequence[_Bug]) -> Unit | None:
    """Return the unit in which the rates of all are known, calls if they can."""
    units: tuple[Unit, ...] = get_args(Unit)
    for unit in units:
        if all(bug.rate(unit) is not None for bug in bugs):
            return unit
    return None


def _speed_change(rate: float | None, before: float | None) -> ChangeKind:
    if rate is None or before is None:
        return "same"
    if rate > SAME_RATE * before:
        return "faster"
    return "slower" if before > SAME_RATE * rate else "same"


def _speed(row: Change) -> float:
    return row.growth_bytes or row.growth_bytes_before or 0.0


def _notes(report: Report, before: Report, rows: Sequence[Change]) -> Iterable[str]:
    kinds = {row.change for row in rows}
    if "gone" in kinds and report.verdict.kind == "unknown":
        yield "The newer look was undecided: what is gone may just not have been seen."
    if "new" in kinds and before.verdict.kind == "unknown":
        yield "The older look was undecided: what is new may have been there before."
    if kinds and report.program.mode != before.program.mode:
        yield (
            f"The looks are of two kinds ({report.program.mode},"
            f" {before.program.mode}): a call of one may be no call of the other."
        )
    for row in rows:
        if row.unit is None and row.change == "same":
            yield f"The rates of {row.fingerprint} are not known in one unit."
