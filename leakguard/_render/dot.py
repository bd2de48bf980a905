"""The retention paths of a report as a drawing, in the language of graphviz.

Rules of this file: layout only; the words come from ``style``. It is text and needs no
graphviz; ``dot -Tsvg`` makes a picture of it. Whatever a name holds, it stays inside
its quotes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakguard._render import style

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from leakguard._core.records import Link, Owner, Report, Suspect

#: Status of a link -> the colour of its box.
_COLORS: Mapping[str, str] = {
    "healthy": "#2e7d32",
    "leaking": "#c62828",
    "unknown": "#616161",
}
_HEAD = (
    "rankdir=LR",
    'fontname="sans-serif"',
    'node [shape=box, fontname="sans-serif", penwidth=2]',
    'edge [fontname="sans-serif"]',
)


def render_dot(report: Report, *, cwd: str | None = None) -> str:
    """Return the suspects' retention paths as a directed graph, one box per hop.

    The suspect link, from the last healthy hop to the first leaking one, is drawn
    bold. Paths of files below ``cwd`` are relative to it.
    """
    lines = ["digraph leakguard {", *(f"  {line};" for line in _HEAD)]
    for suspect in report.suspects:
        lines += [f"  subgraph cluster_{suspect.rank} {{"]
        lines += [f"    {line};" for line in _suspect(suspect, cwd)]
        lines += ["  }"]
    return "\n".join([*lines, "}"])


def _suspect(suspect: Suspect, cwd: str | None) -> Iterator[str]:
    growth = style.rate(suspect.growth_bytes_per_call, suspect.growth_bytes_per_second)
    heading = f"{suspect.rank}. {growth or 'growing'}"
    yield f"label={_quoted(heading)}"
    last = None
    if suspect.owner is not None:
        yield from _owner(suspect.rank, suspect.owner)
        last = len(suspect.owner.links) - 1
    place = f"n{suspect.rank}_site"
    title = style.title(suspect, cwd)
    yield f"{place} [shape=note, label={_quoted(title, style.what(suspect))}]"
    if last is not None and last >= 0:
        yield f'n{suspect.rank}_{last} -> {place} [style=dashed, label="made at"]'


def _owner(rank: int, owner: Owner) -> Iterator[str]:
    before: Link | None = None
    for index, (mark, link) in enumerate(style.hops(owner)):
        node = f"n{rank}_{index}"
        color = _COLORS[link.status]
        label = _quoted(link.name, link.type, f"{link.status}: {link.why}")
        yield f'{node} [color="{color}", label={label}]'
        if before is not None:
            piece = link.name.removeprefix(before.name)
            bold = f', color="{color}", penwidth=4' if mark else ""
            yield f"n{rank}_{index - 1} -> {node} [label={_quoted(piece)}{bold}]"
        before = link


def _quoted(*lines: str) -> str:
    """Return lines of text as a string of DOT."""
    texts = (style.plain(line).replace("\\", "\\\\") for line in lines if line)
    return '"' + "\\n".join(text.replace('"', '\\"') for text in texts) + '"'
