"""``leakguard doctor``: which limits apply here, and which settings will hurt."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING

from leakguard.cli import output

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from leakguard._core.advice import Finding
    from leakguard._core.settings import Settings

SCHEMA = "leakguard.doctor/1"
_ROLES = {"warning": "bad", "note": "unsure", "ok": "good"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``leakguard doctor``."""
    parser.add_argument(
        "--json", action="store_true", help="print the findings as a JSON document"
    )


def run(args: argparse.Namespace) -> int:
    """Print the findings; a bad setting is no error, so the exit code is 0."""
    from leakguard._core.advice import advise
    from leakguard._readers.limits import MemoryReader
    from leakguard._readers.settings import read_settings

    settings = read_settings(MemoryReader().read())
    findings = advise(settings)
    if args.json:
        output.emit(document(settings, findings), sys.stdout)
    else:
        output.emit(text(findings), sys.stdout)
    return 0


def document(settings: Settings, findings: Sequence[Finding]) -> str:
    """Return the findings and the facts behind them as JSON."""
    body = {
        "schema": SCHEMA,
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "settings": dataclasses.asdict(settings),
    }
    return json.dumps(body, indent=2)


def text(findings: Sequence[Finding]) -> str:
    """Return the findings as text: what hurts first, each with its remedy below."""
    from leakguard._render.style import painter, plain, wants_color

    isatty = sys.stdout is not None and sys.stdout.isatty()
    paint = painter(color=wants_color(isatty, os.environ))
    wide = max((len(finding.topic) for finding in findings), default=0)
    lines = [paint("strong", _summary(findings)), ""]
    for finding in findings:
        level = paint(_ROLES[finding.level], f"{finding.level:<7}")
        lines.append(f"{level}  {finding.topic:<{wide}}  {plain(finding.fact)}")
        if finding.remedy:
            fix = paint("fix", f"fix: {finding.remedy}")
            lines.append(f"{'':7}  {'':{wide}}  {fix}")
    return "\n".join(lines)


def _summary(findings: Sequence[Finding]) -> str:
    counts = [
        f"{count} {name}{'' if count == 1 else 's'}"
        for name in ("warning", "note")
        if (count := sum(finding.level == name for finding in findings))
    ]
    return " and ".join(counts) or "Nothing here will hurt"
