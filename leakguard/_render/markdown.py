"""A report as GitHub-flavoured Markdown, for a pull request or an issue.

Rules of this file: layout only; the words come from ``style``. Nothing of the
user's program is written but as code or with its Markdown escaped, so a name can
neither break a table, nor open a tag, nor call somebody by an ``@``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from leakguard._render import style

if TYPE_CHECKING:
    from leakguard._core.records import Owner, Report, Suspect

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
#: What would start a list or underline a heading at the start of a text.
_BLOCK_START = re.compile(r"^(\d*)([-+=.)])")
_BACKTICKS = re.compile(r"`+")


def render_markdown(report: Report, *, cwd: str | None = None) -> str:
    """Return the report as Markdown, without a newline at the end.

    It shows all suspects; stacks are folded. Paths below ``cwd`` are relative to it.
    """
    blocks = [
        _opening(report),
        *(_suspect(suspect, cwd) for suspect in report.suspects),
        _suppressed(report, cwd),
        _acquitted(report, cwd),
        _closing(report, cwd),
    ]
    return "\n\n".join(filter(None, blocks))


def _opening(report: Report) -> str:
    _, words, figures = style.headline(report.verdict, len(report.suppressed))
    title = ": ".join(filter(None, (words, figures.replace("  ", " "))))
    verdict = report.verdict
    sentences = (
        verdict.reason,
        style.explained(verdict),
        style.forecast(report) or "",
    )
    return "\n\n".join([f"## {title}", *filter(None, map(escape, sentences))])


def _suspect(suspect: Suspect, cwd: str | None) -> str:
    growth = style.rate(suspect.growth_bytes_per_call, suspect.growth_bytes_per_second)
    title = code(style.title(suspect, cwd))
    items = [
        ("what", escape(style.what(suspect))),
        ("route", escape(style.route(suspect))),
        ("held by", suspect.owner and _owner(suspect.owner)),
        ("pattern", escape(style.pattern(suspect))),
        ("fix", suspect.hint and f"**{escape(suspect.hint)}**"),
    ]
    heading = f"### {suspect.rank}. {growth or 'growing'}: {title}"
    facts = "\n".join(f"- {label}: {text}" for label, text in items if text)
    blocks = (heading, facts, _example(suspect), _stack(suspect, cwd))
    return "\n\n".join(filter(None, blocks))


def _example(suspect: Suspect) -> str:
    code_lines = "\n".join(style.example(suspect))
    fence = _fence(code_lines, 3)
    return f"{fence}diff\n{code_lines}\n{fence}" if code_lines else ""


def _owner(owner: Owner) -> str:
    lines = [", ".join(filter(None, (code(owner.path), style.retained(owner))))]
    for mark, link in style.hops(owner):
        status = f"**{link.status}**" if mark else link.status
        hop = f"{code(link.name)} {code(link.type)} {status}"
        lines.append(f"  - {hop}: {escape(link.why)}")
    return "\n".join(lines)


def _stack(suspect: Suspect, cwd: str | None) -> str:
    shown = style.frames(suspect, cwd, verbose=True)
    if len(shown) < 2:
        return ""
    frames = "\n".join(
        ("-> " if mark == "app" else "   ") + text for mark, text in shown
    )
    fence = _fence(frames, 3)
    return (
        f"<details><summary>stack, innermost frame first</summary>\n\n"
        f"{fence}text\n{frames}\n{fence}\n\n</details>"
    )


def _suppressed(report: Report, cwd: str | None) -> str:
    lines = [f"- {escape(text)}" for text in style.suppressed(report, cwd)]
    return "\n".join([f"### Suppressed: {len(lines)}", "", *lines]) if lines else ""


def _acquitted(report: Report, cwd: str | None) -> str:
    innocents = (style.acquittal(innocent, cwd) for innocent in report.acquitted)
    lines = [f"- {escape(innocent)}" for innocent in innocents]
    return "\n".join(["### Not a leak", "", *lines]) if lines else ""


def _closing(report: Report, cwd: str | None) -> str:
    about = style.closing(report, cwd)
    lines = [f"- {label}: {escape(text)}" for label, text in about]
    return "\n".join(["### The look", "", *lines])


def escape(text: str) -> str:
    """Return text that Markdown shows as it is and that notifies nobody."""
    escaped = _SPECIAL.sub(r"\\\1", style.plain(text).strip())
    # A zero-width space ends a mention before it begins.
    return _BLOCK_START.sub(r"\1\\\2", escaped).replace("@", "@&#8203;")


def code(text: str) -> str:
    """Return text as inline code, whatever backticks it holds."""
    inner = style.plain(text)
    fence = _fence(inner, 1)
    pad = " " if inner[:1] == "`" or inner[-1:] == "`" or not inner.strip() else ""
    return f"{fence}{pad}{inner}{pad}{fence}"


def _fence(text: str, shortest: int) -> str:
    runs = [len(run) + 1 for run in _BACKTICKS.findall(text)]
    return "`" * max(shortest, *runs) if runs else "`" * shortest
