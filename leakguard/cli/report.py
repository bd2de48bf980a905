"""``leakguard report``: show a saved report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO

from leakguard._core.records import LeakguardError
from leakguard.cli import output

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``leakguard report``."""
    parser.add_argument("file", metavar="FILE", help="a saved report; - reads stdin")
    parser.add_argument(
        "--format",
        default="text",
        metavar="FORMAT",
        help="text, markdown, json or dot (default: text)",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show stacks and the whole ledger"
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; finding a leak in it is no news, so the exit code is 0."""
    from leakguard import reports

    report = reports.load(_stdin() if args.file == "-" else args.file)
    if args.format == "text":
        output.show(report, sys.stdout, verbose=args.verbose)
    else:
        output.emit(reports.render(report, args.format), sys.stdout)
    return 0


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise LeakguardError("there is no stdin to read a report from")
    return sys.stdin.buffer
