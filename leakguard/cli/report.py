"""``leakguard report``: show a saved report."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from leakguard._core.records import LeakguardError
from leakguard.cli import output

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from leakguard._core.compare import Comparison
    from leakguard._core.records import Report


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
        "--against",
        metavar="OLD",
        help="say which suspects are new, gone, faster or slower than in this report",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show stacks and the whole ledger"
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; finding a leak in it is no news, so the exit code is 0."""
    from leakguard import reports

    if args.file == args.against == "-":
        raise LeakguardError("FILE and OLD cannot both be stdin")
    report = reports.load(_source(args.file))
    if args.against is not None:
        _show_change(report, reports.load(_source(args.against)), args.format)
    elif args.format == "text":
        output.show(report, sys.stdout, verbose=args.verbose)
    else:
        output.emit(reports.render(report, args.format), sys.stdout)
    return 0


def _show_change(report: Report, before: Report, format_name: str) -> None:
    from leakguard import reports
    from leakguard._core.compare import compare
    from leakguard._render import comparison

    color, cwd = output.is_colored(sys.stdout), output.working_directory()
    formats: dict[str, Callable[[Comparison], str]] = {
        "text": partial(comparison.render_text, color=color, cwd=cwd),
        "markdown": comparison.render_markdown,
        "json": comparison.dumps,
    }
    render = reports.renderer_of(formats, format_name)
    output.emit(render(compare(report, before)), sys.stdout)


def _source(name: str) -> str | BinaryIO:
    return _stdin() if name == "-" else name


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise LeakguardError("there is no stdin to read a report from")
    return sys.stdin.buffer
