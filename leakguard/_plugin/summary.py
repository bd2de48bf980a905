"""The terminal section at the end, GitHub's annotations, and the new baseline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from leakguard._core.units import format_bytes
from leakguard._plugin import settings
from leakguard._plugin.baseline import write
from leakguard._plugin.finding import findings_in
from leakguard._render.style import plain, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest

    from leakguard._plugin.finding import Finding

#: Outcome -> the word for it, the colour, and what is to be done where no line says.
_WORDS = {
    "leak": ("LEAKS", {"red": True, "bold": True}, ""),
    "grew": ("grew", {"yellow": True}, ""),
    "undecided": ("undecided", {"yellow": True}, ""),
    "known": ("known leak", {"yellow": True}, ""),
    "mended": (
        "leaks no more",
        {"green": True},
        "remove its known_leak marker",
    ),
}
#: Tests listed of a watched session, unless ``-v``.
SHOWN_GROWN = 10

Rows = list[tuple[str, "Finding"]]


def summarise(
    terminal: pytest.TerminalReporter,
    config: pytest.Config,
    reports: Sequence[pytest.TestReport],
) -> None:
    """Write the section; in GitHub's actions annotate what leaks, too."""
    found = list(_findings(reports))
    terminal.section("leakguard")
    grown = sorted(
        (row for row in found if row[1].outcome == "grew"),
        key=lambda row: -(row[1].bytes_per_call or 0),
    )
    shown = len(grown) if config.get_verbosity() > 0 else SHOWN_GROWN
    for outcome in _WORDS:
        if outcome == "grew":
            rows = grown[:shown]
        else:
            rows = [row for row in found if row[1].outcome == outcome]
        for test, finding in rows:
            _write(terminal, test, finding)
    if len(grown) > shown:
        terminal.write_line(f"... and {len(grown) - shown} more tests grew (-v)")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in workflow_commands(found, str(config.rootpath)):
            terminal.write_line(line)
    path = settings.baseline(config)
    if path is not None and config.getoption("--leakguard-update-baseline"):
        count = write(path, found)
        terminal.write_line(f"baseline of {count} known leaks written to {path}")


def workflow_commands(found: Rows, root: str) -> Iterator[str]:
    """Yield GitHub's workflow commands for what leaks, at the line that allocates."""
    for test, finding in found:
        if finding.outcome == "leak":
            file = relative(finding.file or test.split("::")[0], root)
            line = f",line={finding.line}" if finding.line else ""
            text = " ".join(filter(None, (finding.reason, finding.fix)))
            yield (
                f"::error file={_escaped(file)}{line},"
                f"title={_escaped(f'leak in {test}')}::{_escaped(text)}"
            )


def _findings(reports: Sequence[pytest.TestReport]) -> Iterator[tuple[str, Finding]]:
    """Yield each test's findings once: its reports repeat its properties."""
    last = {report.nodeid: report.user_properties for report in reports}
    for test, properties in last.items():
        for finding in findings_in(properties):
            yield test, finding


def _write(terminal: pytest.TerminalReporter, test: str, finding: Finding) -> None:
    word, colour, remedy = _WORDS[finding.outcome]
    rate = ""
    if finding.bytes_per_call:
        per = "" if finding.outcome == "grew" else " per call"
        rate = f", {format_bytes(finding.bytes_per_call)}{per}"
    terminal.write(f"{word}{rate}: ", **colour)
    terminal.write(f"{test}\n")
    rows = {
        "why": finding.reason,
        "line": finding.where,
        "held by": finding.owner,
        "fix": finding.fix or remedy,
        "report": finding.report,
    }
    for name, text in rows.items():
        if text:
            terminal.write_line(f"    {name:<8} {plain(text)}")


def _escaped(text: str) -> str:
    """Escape what ends a workflow command's value; see GitHub's toolkit, command.ts."""
    for character in "%\r\n:,":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
