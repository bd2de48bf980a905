"""Compares what a report says about the shop with what is written in its source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leakguard._core.records import Report, Site

_MARK = re.compile(r"\s*# (leak|innocent|with it): (.+)")


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of the shop, and what its comment says it is."""

    line: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one line, and whether the report is right about it."""

    sentence: str
    as_told: bool


def marks(source: str) -> tuple[Mark, ...]:
    """Return the lines below a ``leak:``, ``innocent:`` or ``with it:`` comment."""
    found = []
    for number, line in enumerate(source.splitlines(), start=1):
        match = _MARK.match(line)
        if match:
            found.append(Mark(number + 1, match[1], match[2]))
    return tuple(found)


def compare(report: Report, source: Path) -> tuple[Finding, ...]:
    """Return a finding per marked line, and one per line that was accused wrongly."""
    accused = {
        suspect.site.line: suspect.rank
        for suspect in reversed(report.suspects)
        if _is_in(suspect.site, source) and suspect.site is not None
    }
    acquitted = {
        acquittal.site.line: acquittal.reason
        for acquittal in report.acquitted
        if _is_in(acquittal.site, source) and acquittal.site is not None
    }
    marked = marks(source.read_text("utf-8"))
    findings = [
        _finding(mark, accused, acquitted) for mark in marked if mark.kind != "with it"
    ]
    known = {mark.line for mark in marked}
    findings += [
        Finding(f"! line {line}: suspect {rank}, but it does not leak", as_told=False)
        for line, rank in accused.items()
        if line not in known
    ]
    return tuple(findings)


def _finding(mark: Mark, accused: dict[int, int], acquitted: dict[int, str]) -> Finding:
    rank, reason = accused.get(mark.line), acquitted.get(mark.line)
    if mark.kind == "leak":
        said = f"suspect {rank}" if rank is not None else "not found"
        right = rank is not None
    else:
        said = f"acquitted: {reason}" if reason is not None else "not acquitted"
        said = said if rank is None else f"suspect {rank}, but it does not leak"
        right = rank is None and reason is not None
    sign = " " if right else "!"
    return Finding(f"{sign} line {mark.line}, {mark.text}: {said}", as_told=right)


def _is_in(site: Site | None, source: Path) -> bool:
    return site is not None and Path(site.file).name == source.name
