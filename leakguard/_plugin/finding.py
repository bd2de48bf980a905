"""What was found about one test, as the properties that travel with its report.

Rules of this file: names and numbers only. A test's properties are what JUnit files
hold, what xdist sends from its workers, and what the terminal section is made of.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from leakguard._core.records import Report

#: leak: it fails; known: it leaks as is known; mended: it was known to and does not;
#: undecided: it could not be told; steady: it was looked at and does not grow;
#: grew: memory is not what it was before, in a watched session.
Outcome = Literal["leak", "known", "mended", "undecided", "steady", "grew"]
_NAME = "leakguard"


@dataclass(frozen=True, slots=True)
class Finding:
    """One test's finding; ``reason`` is a sentence, ``report`` a file."""

    outcome: Outcome
    reason: str = ""
    bytes_per_call: float | None = None
    calls: int | None = None
    file: str | None = None
    line: int | None = None
    function: str | None = None
    owner: str | None = None
    fix: str | None = None
    fingerprint: str | None = None
    report: str | None = None

    @property
    def properties(self) -> list[tuple[str, object]]:
        """Return them as a test's ``user_properties``."""
        found: list[tuple[str, object]] = [(_NAME, self.outcome)]
        for part in fields(self)[1:]:
            value = getattr(self, part.name)
            if value not in {None, ""}:
                found.append((f"{_NAME}_{part.name}", value))
        return found

    @property
    def where(self) -> str:
        """Return ``file:line in function``, as far as that is known."""
        if not self.file:
            return ""
        inside = f" in {self.function}" if self.function else ""
        return f"{self.file}:{self.line}{inside}"


def findings_in(properties: Iterable[tuple[str, Any]]) -> list[Finding]:
    """Return the findings among a test's properties."""
    found: list[dict[str, Any]] = []
    for name, value in properties:
        if name == _NAME:
            found.append({"outcome": value})
        elif found and name.startswith(f"{_NAME}_"):
            found[-1][name[len(_NAME) + 1 :]] = value
    return [Finding(**parts) for parts in found]


def finding_of(outcome: Outcome, report: Report, calls: int | None = None) -> Finding:
    """Return what a report says of its first suspect, in brief."""
    suspect = report.suspects[0] if report.suspects else None
    site = suspect.site if suspect else None
    return Finding(
        outcome,
        report.verdict.reason,
        report.verdict.growth_bytes_per_call,
        calls,
        site.file if site else None,
        site.line if site else None,
        site.function if site else None,
        suspect.owner.path if suspect and suspect.owner else None,
        suspect.hint if suspect else None,
        suspect.fingerprint if suspect else None,
    )
