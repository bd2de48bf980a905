"""A report as text for a terminal or a log: the verdict first, then what to do.

Rules of this file: layout only. Words and colours come from ``style``; text is
wrapped before it is painted, so colour never changes where a line ends.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakguard._render import style
from leakguard._render.table import table

if TYPE_CHECKING:
    from leakguard._core.records import Owner, Report, Suspect

_BRIEF_ITEMS = 5
_MINIMUM_WIDTH = 40
_MARGIN = 4
_LABEL_WIDTH = 9
_INNOCENT = "not a leak: "
_ARROW = {False: "   ", True: "-> "}


@dataclass(frozen=True, slots=True)
class _View:
    """How the caller wants to see it."""

    paint: style.Paint
    width: int
    verbose: bool
    cwd: str | None

    def cut(self, length: int) -> int:
        """Return how many of ``length`` items to show."""
        return length if self.verbose else min(length, _BRIEF_ITEMS)


def render_text(
    report: Report,
    *,
    color: bool = False,
    width: int = 88,
    verbose: bool = False,
    cwd: str | None = None,
) -> str:
    """Return the report as lines of text, without a newline at the end.

    It shows five suspects with their nearest frames, and all there is if ``verbose``.
    Paths below ``cwd`` are relative to it. Names and paths are never cut, so a line
    may be longer than ``width``.
    """
    paint = style.painter(color=color)
    view = _View(paint, max(width, _MINIMUM_WIDTH), verbose, cwd)
    suspects = report.suspects[: view.cut(len(report.suspects))]
    blocks = [
        _opening(view, report),
        *(_suspect(view, suspect) for suspect in suspects),
        _left_out(view, len(report.suspects), "suspect"),
        _suppressed(view, report),
        _acquitted(view, report),
        _closing(view, report),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _opening(view: _View, report: Report) -> list[str]:
    suppressed = len(report.suppressed)
    role, words, figures = style.headline(report.verdict, suppressed)
    lines = ["  ".join(filter(None, (view.paint(role, words), figures)))]
    verdict = report.verdict
    for sentence in (
        style.plain(verdict.reason),
        style.explained(verdict),
        style.forecast(report) or "",
    ):
        lines += _wrap(sentence, view.width)
    return lines


def _suspect(view: _View, suspect: Suspect) -> list[str]:
    growth = style.rate(suspect.growth_bytes_per_call, suspect.growth_bytes_per_second)
    title = f"{growth or 'growing'}  {style.title(suspect, view.cwd)}"
    lines = [view.paint("strong", f"{f'{suspect.rank}.':<{_MARGIN}}{title}")]
    lines += _field(view, "what", style.what(suspect))
    lines += _field(view, "route", style.route(suspect))
    if suspect.owner:
        lines += _owner(view, suspect.owner)
    lines += _field(view, "pattern", style.pattern(suspect))
    lines += _field(view, "fix", style.plain(suspect.hint), "fix")
    example = style.example(suspect)
    lines += _column(view, _label("example"), example, "as-is") if example else []
    return lines + _stack(view, suspect)


def _owner(view: _View, owner: Owner) -> list[str]:
    hops = style.hops(owner)
    rows = [
        (_ARROW[mark] + link.name, link.type, link.status, link.why)
        for mark, link in hops
    ]
    held = ", ".join(filter(None, (style.plain(owner.path), style.retained(owner))))
    lines = _field(view, "held by", held)
    for (mark, _), line in zip(hops, table((), rows).splitlines(), strict=True):
        lines += _column(view, _label(""), [line], "strong" if mark else "faint")
    return lines


def _stack(view: _View, suspect: Suspect) -> list[str]:
    lines: list[str] = []
    for mark, frame in style.frames(suspect, view.cwd, verbose=view.verbose):
        role = "strong" if mark == "app" else "faint"
        text = _ARROW[mark == "app"] + frame
        lines += _column(view, _label("" if lines else "stack"), [text], role)
    return lines


def _suppressed(view: _View, report: Report) -> list[str]:
    """Return a count and a line for each; all of them, for none may be forgotten."""
    texts = style.suppressed(report, view.cwd)
    lines = [f"suppressed: {style.number_of(len(texts), 'suspect')}"] if texts else []
    for text in texts:
        wrapped = _wrap(text, view.width - _MARGIN)
        lines += _column(view, " " * _MARGIN, wrapped, "faint")
    return lines


def _acquitted(view: _View, report: Report) -> list[str]:
    lines: list[str] = []
    for innocent in report.acquitted[: view.cut(len(report.acquitted))]:
        text = style.acquittal(innocent, view.cwd)
        wrapped = _wrap(text, view.width - len(_INNOCENT))
        lines += _column(view, _INNOCENT, wrapped, "as-is", "good")
    return lines + _left_out(view, len(report.acquitted), "innocent")


def _left_out(view: _View, length: int, noun: str) -> list[str]:
    hidden = length - view.cut(length)
    more = style.number_of(hidden, f"more {noun}")
    return [view.paint("faint", f"... and {more}")] * bool(hidden)


def _closing(view: _View, report: Report) -> list[str]:
    lines: list[str] = []
    for label, text in style.closing(report, view.cwd):
        wrapped = _wrap(text, view.width - _LABEL_WIDTH)
        lines += _column(view, f"{label:<{_LABEL_WIDTH}}", wrapped, "faint")
    return lines


def _label(label: str) -> str:
    return f"{'':{_MARGIN}}{label:<{_LABEL_WIDTH}}"


def _field(view: _View, label: str, text: str, role: str = "as-is") -> list[str]:
    """Return the text in a column beside its label; nothing for no text."""
    head = _label(label)
    return _column(view, head, _wrap(text, view.width - len(head)), role)


def _column(
    view: _View, head: str, lines: list[str], role: str, head_role: str = "as-is"
) -> list[str]:
    first = view.paint(head_role, head)
    return [
        (" " * len(head) if index else first) + view.paint(role, line)
        for index, line in enumerate(lines)
    ]


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
