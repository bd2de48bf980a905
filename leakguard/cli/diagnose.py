"""``leakguard diagnose``: call a function many times and say what it leaks."""

from __future__ import annotations

import contextlib
import sys
import traceback
from typing import TYPE_CHECKING

from leakguard._core.records import LeakguardError
from leakguard._readers.source import is_own
from leakguard.cli import options, output
from leakguard.cli.progress import ProgressLine
from leakguard.cli.streams import reserved_stdout
from leakguard.cli.target import Target, explain, resolve

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from types import TracebackType

    from leakguard._core.records import Report
    from leakguard.testing import WorkFailed

_SECONDS = 40.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``leakguard diagnose``."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="module:function or file.py:function; called with no argument, or with "
        "the number of the call if it takes one",
    )
    parser.add_argument(
        "--calls",
        type=options.count,
        metavar="N",
        help="stop after N calls (default: as many as the verdict needs)",
    )
    parser.add_argument(
        "--seconds",
        type=options.seconds,
        default=_SECONDS,
        metavar="S",
        help=f"stop after this time, such as 90s or 2m (default: {_SECONDS:.0f} s)",
    )
    parser.add_argument(
        "--nframe",
        type=options.count,
        metavar="N",
        help="frames to record of each allocation (default: as many as are needed)",
    )
    add_output_arguments(parser)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how the report of a diagnosis is shown and kept."""
    parser.add_argument(
        "--json", action="store_true", help="print the report as a JSON document"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the report to FILE as well: .json, .txt or .md",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show stacks and the whole ledger"
    )


def run(args: argparse.Namespace) -> int:
    """Diagnose the target, print the report and return 1 when it leaks."""
    path = output.destination(args.output) if args.output else None
    with (
        reserved_stdout(restore=not args.owns_process) as stdout,
        _argv_of(args.target),
    ):
        target = resolve(args.target)
        report = _diagnosed(target, args)
        if path is not None:
            output.save(report, path)
        if args.json:
            output.show_json(report, stdout)
        else:
            output.show(report, stdout, verbose=args.verbose)
    return int(output.is_leak(report))


@contextlib.contextmanager
def _argv_of(target: str) -> Iterator[None]:
    """Hide our arguments from the target, which may read its own when imported."""
    ours = sys.argv
    sys.argv = [target]
    try:
        yield
    finally:
        sys.argv = ours


def _diagnosed(target: Target, args: argparse.Namespace) -> Report:
    from leakguard import testing

    try:
        with ProgressLine(sys.stderr, f"diagnosing {target.name}") as progress:
            return testing.diagnose(
                target.work,
                args.calls,
                args.nframe,
                seconds=args.seconds,
                app_root=target.root,
                progress=progress,
            )
    except testing.WorkFailed as failed:
        raise LeakguardError(_work_failure(failed, target)) from failed
    except SystemExit as done:
        where = explain(done, target.file)
        raise LeakguardError(f"{target.name} ends the program: {where}") from done


def _work_failure(failed: WorkFailed, target: Target) -> str:
    """Print the traceback of the target's own frames; return the line below it."""
    cause = failed.__cause__
    if cause is None:
        return str(failed)
    frames = _without_ours(cause.__traceback__)
    traceback.print_exception(type(cause), cause, frames)
    what = explain(cause, target.file)
    return f"{target.name} failed in call {failed.call}, counted from 0: {what}"


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and is_own(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace
