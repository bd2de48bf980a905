"""Two reports compared, as text, Markdown and the document ``leakguard.comparison/1``.

Rules of this file: layout only; what is new stands first, and a suppressed suspect
says so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from leakguard._core.coding import encode_record
from leakguard._core.compare import CHANGES
from leakguard._core.units import format_bytes
from leakguard._render import style
from leakguard._render.markdown import code, escape
from leakguard._render.table import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._core.compare import Change, Comparison

SCHEMA = "leakguard.comparison/1"
_HEADING = "| change | growth | pattern | fingerprint | where |"
_NOBODY = "Neither report accuses anybody."
#: What has become of a suspect -> the role it is painted in.
_ROLES: Mapping[str, str] = {"new": "bad", "faster": "bad", "gone": "good"}


def render_text(
    comparison: Comparison, *, color: bool = False, cwd: str | None = None
) -> str:
    """Return a line for each suspect, without a newline at the end."""
    paint = style.painter(color=color)
    lines = [paint("strong", _counts(comparison)), _looks(comparison)]
    rows = [_cells(change, cwd) for change in comparison.changes]
    if rows:
        lines.append("")
        shown = table((), rows).splitlines()
        for change, line in zip(comparison.changes, shown, strict=True):
            lines.append(paint(_ROLES.get(change.change, "as-is"), line))
    notes = [style.plain(note) for note in comparison.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def render_markdown(comparison: Comparison, *, cwd: str | None = None) -> str:
    """Return a table with a row for each suspect, without a newline at the end."""
    blocks = [f"## {_counts(comparison)}", escape(_looks(comparison))]
    if comparison.changes:
        lines = [_HEADING, "|---|---|---|---|---|"]
        for change in comparison.changes:
            kind, growth, *names = _cells(change, cwd)
            cells = (kind, escape(growth), *map(_cell, names))
            lines.append(f"| {' | '.join(cells)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, *map(escape, comparison.notes)])


def dumps(comparison: Comparison) -> str:
    """Return the document as indented ASCII text, without a newline at the end."""
    document = {"schema": SCHEMA, **encode_record(comparison)}
    return json.dumps(document, indent=2, allow_nan=False)


def _counts(comparison: Comparison) -> str:
    if not comparison.changes:
        return _NOBODY
    counted = ((kind, comparison.count(kind)) for kind in CHANGES)
    return ", ".join(f"{number} {kind}" for kind, number in counted)


def _looks(comparison: Comparison) -> str:
    now, before = comparison.now, comparison.before
    return style.plain(
        f"{now.created_at} ({now.verdict}) against {before.created_at}"
        f" ({before.verdict})"
    )


def _cells(change: Change, cwd: str | None) -> tuple[str, str, str, str, str]:
    suspect = change.suspect
    where = style.title(suspect, cwd)
    if suspect.owner and suspect.site:
        where += f", held by {suspect.owner.path}"
    pattern: str = suspect.pattern
    if change.is_suppressed:
        pattern += " (suppressed)"
    return change.change, _growth(change), pattern, change.fingerprint, where


def _growth(change: Change) -> str:
    """Return ``"1.0 KiB per call, was 512 B"``."""
    now, before = change.growth_bytes, change.growth_bytes_before
    if change.unit is None:
        return "growing"
    unit = f"per {change.unit}"
    if now is None:
        return f"was {format_bytes(before or 0.0)} {unit}"
    text = f"{format_bytes(now)} {unit}"
    return text if before is None else f"{text}, was {format_bytes(before)}"


def _cell(text: str) -> str:
    """Return text as code that does not end its cell."""
    return code(text).replace("|", "\\|")
