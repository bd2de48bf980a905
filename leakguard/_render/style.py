"""The house style of every renderer: its words, its colours, its safe characters.

Rules of this file: no layout. Text that came from the user's program passes
``plain`` before it is shown, because a file name may hold an escape sequence.
Only ASCII is added to what the report says, so any terminal and log can show it.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from leakguard._core.units import (
    format_bytes,
    format_number,
    format_ratio,
    format_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from leakguard._core.records import (
        Acquittal,
        Cost,
        Link,
        Memory,
        Owner,
        Program,
        Report,
        Site,
        Suspect,
        Verdict,
    )

    Paint = Callable[[str, str], str]

#: What a piece of text is -> its ANSI "select graphic rendition" codes.
COLORS: Mapping[str, str] = {
    "as-is": "",
    "bad": "1;31",
    "good": "1;32",
    "unsure": "1;33",
    "strong": "1",
    "fix": "32",
    "faint": "2",
}

#: Kind of verdict -> the role its headline is painted in, and the headline.
HEADLINES: Mapping[str, tuple[str, str]] = {
    "leak": ("bad", "LEAK"),
    "native-leak": ("bad", "LEAK OUTSIDE PYTHON"),
    "cache": ("good", "NOT A LEAK, a cache that is filling"),
    "load": ("good", "NOT A LEAK, memory follows the load"),
    "fragmentation": ("unsure", "NOT A LEAK, freed memory that the allocator keeps"),
    "steady": ("good", "NO LEAK, memory is steady"),
    "unknown": ("unsure", "UNDECIDED"),
}

_MEMORY = (
    ("rss", "rss_bytes"),
    ("usage", "usage_bytes"),
    ("working set", "working_set_bytes"),
    ("unreclaimable", "unreclaimable_bytes"),
    ("limit", "limit_bytes"),
)
_LEDGER = (
    ("python", "python_bytes"),
    ("native", "native_bytes"),
    ("free but kept", "allocator_free_bytes"),
    ("mapped files", "mapped_file_bytes"),
    ("other", "other_bytes"),
)

_COUNTS = (
    ("threads", "threads"),
    ("open files", "open_files"),
    ("child processes", "child_processes"),
)

_PACKAGES = re.compile(r".*[/\\](?:site-packages|dist-packages|python3\.\d+t?)[/\\]")


def wants_color(isatty: bool, environ: Mapping[str, str]) -> bool:  # noqa: FBT001
    """Tell whether to colour: NO_COLOR, then FORCE_COLOR, then TERM and the tty.

    The order is CPython's own (3.13), so leakguard agrees with its tracebacks.
    """
    if environ.get("NO_COLOR"):
        return False
    forced = environ.get("FORCE_COLOR")
    if forced:
        return forced != "0"
    return isatty and environ.get("TERM") != "dumb"


def painter(*, color: bool) -> Paint:
    """Return ``paint(role, text)``, which leaves text alone without ``color``."""
    return _ansi if color else _unpainted


def _ansi(role: str, text: str) -> str:
    codes = COLORS[role]
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text


def _unpainted(_role: str, text: str) -> str:
    return text


def plain(text: str) -> str:
    r"""Return the text with unprintable characters written out, such as ``\x1b``.

    That covers control characters, line ends, lone surrogates of undecodable file
    names, and the marks that reverse the direction of what follows.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def headline(verdict: Verdict, suppressed: int = 0) -> tuple[str, str, str]:
    """Return the role, the big words, and the figures that follow them.

    ``suppressed`` is the number of suspects that were put aside.
    """
    role, words = HEADLINES.get(verdict.kind, HEADLINES["unknown"])
    if suppressed and verdict.kind == "steady":
        words = f"NO LEAK but {number_of(suppressed, 'suppressed suspect')}"
    growth = rate(
        verdict.growth_bytes_per_call or None, verdict.growth_bytes_per_second or None
    )
    figures = [growth] if growth else []
    if verdict.kind != "unknown":
        figures.append(f"({confidence(verdict.confidence)})")
    return role, words, "  ".join(figures)


def forecast(report: Report) -> str | None:
    """Return when the limit will be hit, if anything says so."""
    seconds = report.verdict.time_to_limit_seconds
    if seconds is None:
        return None
    limit = report.memory.limit_bytes
    name = "The limit" if limit is None else f"The limit of {format_bytes(limit)}"
    return f"{name} will be hit in {format_seconds(seconds)} at this rate."


def rate(per_call: float | None, per_second: float | None) -> str | None:
    """Return ``"1.0 KiB per call"``, per second beside it, ``None`` if neither."""
    rates = [
        f"{format_bytes(value)} per {unit}"
        for value, unit in ((per_call, "call"), (per_second, "second"))
        if value is not None
    ]
    return ", ".join(rates) or None


def confidence(share: float) -> str:
    """Return ``"confidence 99 %"``, rounded down: 100 % stands for certainty."""
    if not 0 <= share <= 1:
        return "confidence unknown"
    # The epsilon keeps 0.29 from becoming 28.
    return f"confidence {int(100 * share + 1e-9)} %"


def place(site: Site | None, cwd: str | None) -> str | None:
    """Return ``"app/views.py:41 in create"``, below ``cwd`` where that applies."""
    if site is None:
        return None
    text = f"{plain(relative(site.file, cwd))}:{site.line}"
    return f"{text} in {plain(site.function)}" if site.function else text


def title(suspect: Suspect, cwd: str | None) -> str:
    """Return what a suspect is called: its line, its owner, or its type."""
    return (
        place(suspect.site, cwd)
        or (suspect.owner and plain(suspect.owner.path))
        or (suspect.type and f"objects of type {plain(suspect.type)}")
        or ("outside Python" if suspect.source == "native" else "place not known")
    )


def what(suspect: Suspect) -> str:
    """Return what piles up, ``"dict objects, 2 blocks of memory per call"``."""
    objects = f"{plain(suspect.type)} objects" if suspect.type else ""
    if objects and suspect.source == "native":
        objects = f"memory of the C heap, taken by {plain(suspect.type or '')}"
    count = suspect.growth_count_per_call
    if count is None:
        return objects
    number = format_number(count)
    if suspect.source == "resource" and suspect.growth_bytes_per_call is None:
        return ", ".join(filter(None, (objects, f"{number} per call")))
    blocks = f"{number} block{'' if number == '1' else 's'} of memory per call"
    return f"{objects}, {blocks}" if objects else blocks


def route(suspect: Suspect) -> str:
    """Return whose requests it goes with, ``"/orders/<id>, 2.0 KiB per request"``."""
    if suspect.route is None:
        return ""
    per_call = suspect.growth_bytes_per_route_call
    growth = "" if per_call is None else f", {format_bytes(per_call)} per request"
    return plain(suspect.route) + growth


def pattern(suspect: Suspect) -> str:
    """Return what kind of bug it is, how sure that is, and the bug's identity."""
    names: list[str] = [suspect.pattern]
    if suspect.habit not in (None, suspect.pattern):
        names.append(f"({suspect.habit})")
    sure = confidence(suspect.confidence)
    return plain(f"{' '.join(names)}, {sure}, fingerprint {suspect.fingerprint}")


def example(suspect: Suspect) -> list[str]:
    """Return the change as lines of code."""
    return [plain(line) for line in (suspect.example or "").splitlines()]


def number_of(number: int, noun: str) -> str:
    """Return ``"1 suspect"`` or ``"2 suspects"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def suppressed(report: Report, cwd: str | None) -> list[str]:
    """Return a sentence for each suspect put aside: which, how fast, why, how long."""
    lines = []
    for one in report.suppressed:
        suspect = one.suspect
        growth = rate(suspect.growth_bytes_per_call, suspect.growth_bytes_per_second)
        until = f" (until {plain(one.expires)})" if one.expires else ""
        which = f"{title(suspect, cwd)}, {growth or 'growing'}, {suspect.fingerprint}"
        lines.append(f"{plain(which)}: {plain(one.reason)}{until}")
    return lines


def acquittal(innocent: Acquittal, cwd: str | None) -> str:
    """Return one sentence: what grew, how fast, how far, and why it may."""
    subject = [place(innocent.site, cwd) or "growth"]
    if innocent.owner_path:
        subject.append(f"held by {plain(innocent.owner_path)}")
    growth = rate(innocent.growth_bytes_per_call, None)
    if growth:
        subject.append(growth)
    plateau = innocent.plateau_bytes
    # The reason may have said it already.
    if plateau is not None and format_bytes(plateau) not in innocent.reason:
        subject.append(f"at most {format_bytes(plateau)}")
    return f"{', '.join(subject)}: {plain(innocent.reason)}"


def closing(report: Report, cwd: str | None) -> list[tuple[str, str]]:
    """Return the lines that end a report as ``(label, text)``."""
    lines = [
        ("memory", _memory(report.memory)),
        ("made of", _sizes(report.memory.ledger, _LEDGER)),
        ("besides", _beside(report.memory)),
        ("cost", _cost(report.cost)),
        ("program", _program(report.program, report.created_at, cwd)),
        *(("note", plain(note)) for note in report.notes),
    ]
    return [(label, text) for label, text in lines if text]


def _memory(state: Memory) -> str:
    sizes = _sizes(state, _MEMORY)
    if state.limit_bytes is not None and state.limit_source:
        sizes += f" ({plain(state.limit_source)})"
    return sizes


def _beside(state: Memory) -> str:
    counted = (
        f"{words} {count}"
        for words, name in _COUNTS
        if (count := getattr(state, name)) is not None
    )
    children = state.children_rss_bytes
    held = f" ({format_bytes(children)} resident)" if children else ""
    return ", ".join(counted) + held


def _sizes(record: object, entries: Sequence[tuple[str, str]]) -> str:
    known = ((words, getattr(record, name)) for words, name in entries)
    return ", ".join(
        f"{words} {format_bytes(size)}" for words, size in known if size is not None
    )


def _cost(spent: Cost) -> str:
    plural = "" if spent.windows == 1 else "s"
    parts = [f"{spent.windows} window{plural} in {format_seconds(spent.seconds)}"]
    if spent.overhead_ratio is not None:
        parts.append(f"overhead {format_ratio(spent.overhead_ratio)}")
    if spent.longest_pause_seconds is not None:
        parts.append(f"longest pause {format_seconds(spent.longest_pause_seconds)}")
    return ", ".join(parts)


def _program(about: Program, created_at: str, cwd: str | None) -> str:
    return plain(
        f"{relative(about.argv0, cwd)}, pid {about.pid}, Python {about.python}, "
        f"leakguard {about.leakguard} ({about.mode}), {created_at}"
    )


def relative(path: str, cwd: str | None) -> str:
    """Return the path below ``cwd``, or as it is when it lies elsewhere."""
    base = (cwd or "").rstrip("/\\")
    if base and path.startswith((base + "/", base + "\\")):
        return path[len(base) + 1 :]
    return path


def frames(
    suspect: Suspect, cwd: str | None, *, verbose: bool
) -> list[tuple[str, str]]:
    """Return the frames worth showing as ``(mark, text)``, innermost first.

    The mark is ``"app"`` for the suspect's own line, ``"gap"`` for frames left out,
    else ``"lib"``. Unless verbose, these are the allocating frame, the application's
    line and two callers; a stack that only repeats the suspect's line is left out.
    """
    stack, app = suspect.stack, _app_frame(suspect)
    if not verbose and len(stack) == 1 and app == 0:
        return []
    kept = set(range(len(stack))) if verbose else _kept(len(stack), app or 0)
    shown: list[tuple[str, str]] = []
    for is_kept, run in groupby(range(len(stack)), key=kept.__contains__):
        indices = list(run)
        if not is_kept:
            shown.append(("gap", f"... {len(indices)} more frames"))
            continue
        for index in indices:
            text = relative(stack[index], cwd)
            if index != app and not verbose:
                text = _PACKAGES.sub("", text)
            shown.append(("app" if index == app else "lib", plain(text)))
    return shown


def _app_frame(suspect: Suspect) -> int | None:
    site = suspect.site
    if site is None or not site.in_app:
        return None
    line = f"{site.file}:{site.line}"
    matches = (
        index
        for index, frame in enumerate(suspect.stack)
        if frame == line or frame.startswith(line + " ")
    )
    return next(matches, None)


def _kept(length: int, start: int) -> set[int]:
    kept = {0, start, start + 1, start + 2}
    # A gap of one frame takes as much room as the frame.
    edges = kept | {length}
    return kept | {i for i in range(length) if i - 1 in edges and i + 1 in edges}


def hops(owner: Owner) -> list[tuple[bool, Link]]:
    """Return the hops of a path, the first leaking one marked: the suspect link.

    The reference from the last healthy hop to it is the line to fix.
    """
    statuses = [link.status for link in owner.links]
    suspect = statuses.index("leaking") if "leaking" in statuses else None
    return [(index == suspect, link) for index, link in enumerate(owner.links)]


def retained(owner: Owner) -> str:
    """Return what an owner keeps, ``"keeps about 14 MiB"``, or nothing."""
    if owner.retained_bytes is None:
        return ""
    about = "about " if owner.is_estimate else ""
    return f"keeps {about}{format_bytes(owner.retained_bytes)}"


def explained(verdict: Verdict) -> str:
    """Return how much of the process's growth the suspects explain, in a sentence."""
    share = verdict.explained_share
    if share is None or share < 0:
        return ""
    return f"The suspects explain {min(100, int(100 * share + 0.5))} % of the growth."
