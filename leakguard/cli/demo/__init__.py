"""``leakguard demo``: a leaking web shop is diagnosed, and then lives at its limit."""

from __future__ import annotations

import contextlib
import importlib.resources
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from leakguard._core.records import LeakguardError
from leakguard.cli import options, output
from leakguard.cli.demo import checks
from leakguard.cli.diagnose import add_output_arguments
from leakguard.cli.progress import ProgressLine
from leakguard.cli.streams import reserved_stdout
from leakguard.cli.target import explain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from leakguard._core.records import Report

_SECONDS = 25.0
_MODULE = "shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``leakguard demo``."""
    parser.add_argument(
        "--seconds",
        type=options.seconds,
        default=_SECONDS,
        metavar="S",
        help=f"how long to diagnose at most (default: {_SECONDS:.0f} s)",
    )
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Diagnose the shop; 0 when its leaks, and only they, were named."""
    path = output.destination(args.output) if args.output else None
    if importlib.util.find_spec("flask") is None:
        raise LeakguardError("the demo needs Flask: pip install 'leakguard[demo]'")
    with reserved_stdout(restore=not args.owns_process) as stdout:
        source = _copy_of_the_shop()
        try:
            report, requests = _diagnosed(source, args.seconds)
        except BaseException:
            shutil.rmtree(source.parent, ignore_errors=True)
            raise
        if path is not None:
            output.save(report, path)
        if args.json:
            output.show_json(report, stdout)
        else:
            output.show(report, stdout, verbose=args.verbose)
        notes = sys.stderr if args.json else stdout
        findings = checks.compare(report, source)
        _tell(findings, source, requests, notes)
        survived = _survives(source, notes)
    return 0 if survived and all(finding.as_told for finding in findings) else 1


def _survives(source: Path, stream: TextIO) -> bool:
    from leakguard.cli.demo import survival

    with ProgressLine(sys.stderr, "running the shop at its memory limit"):
        survived, lines = survival.survives(source)
    output.emit("\n".join(lines), stream)
    return survived


def _copy_of_the_shop() -> Path:
    """Copy the app out of leakguard's own package, whose lines are never suspects.

    The copy stays, so that the lines which the report names can be looked at.
    """
    directory = Path(tempfile.mkdtemp(prefix="leakguard-demo-"))
    text = importlib.resources.files(__package__).joinpath("app.py").read_text("utf-8")
    copy = directory.resolve() / f"{_MODULE}.py"
    copy.write_text(text, encoding="utf-8")
    return copy


def _diagnosed(source: Path, seconds: float) -> tuple[Report, int]:
    """Serve the shop, visit it under diagnosis; return what came of how many visits."""
    from leakguard import testing
    from leakguard.cli.demo.load import Shop, Visitor

    module = imported(source)
    with contextlib.closing(module.pool), Shop(module.app) as shop:
        label = f"visiting the shop on 127.0.0.1:{shop.port}"
        with (
            contextlib.closing(Visitor(shop.port)) as visitor,
            ProgressLine(sys.stderr, label) as progress,
        ):
            try:
                report = testing.diagnose(
                    visitor.visit,
                    seconds=seconds,
                    app_root=str(source.parent),
                    progress=progress,
                )
            except testing.WorkFailed as failed:
                reason = explain(failed.__cause__ or failed, None)
                raise LeakguardError(f"the demo failed: {reason}") from failed
        return report, visitor.requests


def imported(source: Path) -> Any:  # noqa: ANN401 - a module, with names of its own
    """Import the copy of the shop."""
    spec = importlib.util.spec_from_file_location(_MODULE, source)
    if spec is None or spec.loader is None:
        raise LeakguardError(f"cannot import {source}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return module


def _tell(
    findings: Sequence[checks.Finding], source: Path, requests: int, stream: TextIO
) -> None:
    lines = ["", f"The shop ({requests} requests) is kept in {source}. In it:"]
    lines += [f"  {finding.sentence}" for finding in findings]
    if all(finding.as_told for finding in findings):
        lines.append("All as it should be: three leaks named, one cache acquitted.")
    else:
        lines.append("That is not as it should be: see the lines marked with !")
    output.emit("\n".join(lines), stream)
