"""``leakguard run``: run a program and report what it leaks."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from leakguard._core.records import LeakguardError
from leakguard._readers.config import read_config
from leakguard.cli import options, output, program
from leakguard.cli.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from leakguard._core.records import Report

_BUDGET = 0.05
_SIGNAL = "SIGUSR2" if hasattr(signal, "SIGUSR2") else "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``leakguard run``: its own come before the program."""
    parser.usage = "leakguard run [options] (prog.py | -m module) [arguments …]"
    _add_when(parser)
    _add_where(parser)
    rest = argparse.REMAINDER
    parser.add_argument(
        "-m", dest="module", nargs=rest, help="run a module, as python -m does"
    )
    parser.add_argument("program", nargs=rest, help="the program and its arguments")


def _add_when(parser: argparse.ArgumentParser) -> None:
    """Declare when to look and to report."""
    add = parser.add_argument
    add(
        "--budget",
        type=options.share,
        default=_BUDGET,
        metavar="SHARE",
        help="how much slower the program may get, 0.05 or 5%% (default: 5%%)",
    )
    add(
        "--every",
        type=options.seconds,
        metavar="S",
        help="report every so often as well, such as 60s or 10m",
    )
    add(
        "--signal",
        type=_signal_number,
        default=_SIGNAL,
        metavar="NAME",
        help=f"report on this signal as well, or none (default: {_SIGNAL})",
    )


def _add_where(parser: argparse.ArgumentParser) -> None:
    """Declare what becomes of a report."""
    add = parser.add_argument
    add(
        "--output",
        metavar="FILE",
        help="write the latest report to FILE: .json, .txt or .md",
    )
    add(
        "--json",
        action="store_true",
        help="report as a JSON document; like the text on stderr, for stdout is the "
        "program's",
    )
    add("--verbose", action="store_true", help="show stacks and the whole ledger")
    add(
        "--fail-on-leak",
        action="store_true",
        help="exit with 1 when a leak was found and the program ended with 0",
    )


def run(args: argparse.Namespace) -> int:
    """Run the program and return its exit code, with a report on the way out."""
    target = _target(args)
    sink = _Sink(
        stream=sys.stderr,
        path=output.destination(args.output) if args.output else None,
        json=args.json,
        verbose=args.verbose,
    )
    from leakguard._runtime.sampler import Sampler

    supervisor = Supervisor(
        Sampler(budget=args.budget, app_root=target.root, config=read_config()),
        sink.deliver,
        sink.complain,
        every_seconds=args.every,
        signal_number=args.signal,
    )
    supervisor.start()
    try:
        code = program.run(target)
        if args.owns_process:
            program.wait_for_threads()
    except program.NoProgramError:
        supervisor.finish()
        raise
    except KeyboardInterrupt:  # while the threads were waited for
        code = program.INTERRUPTED
    leaked = _last_report(supervisor, sink)
    return 1 if args.fail_on_leak and leaked and code == 0 else code


@dataclass(frozen=True, slots=True)
class _Sink:
    """Where the reports of a run go; the program may have closed the stream."""

    stream: TextIO | None
    path: Path | None
    json: bool
    verbose: bool

    def deliver(self, report: Report) -> None:
        if self.path is not None:
            output.save(report, self.path)
            self._say(f"{report.verdict.kind}: the report is in {self.path}")
        elif self.stream is not None:
            with contextlib.suppress(OSError, ValueError):
                if self.json:
                    output.show_json(report, self.stream)
                else:
                    output.show(report, self.stream, verbose=self.verbose)

    def complain(self, error: Exception) -> None:
        self._say(f"no report: {type(error).__name__}: {error}")

    def _say(self, line: str) -> None:
        if self.stream is not None:
            with contextlib.suppress(OSError, ValueError):
                output.emit(f"leakguard: {' '.join(line.split())}", self.stream)


def _target(args: argparse.Namespace) -> program.Program:
    words = args.program
    if args.module is not None:
        if not args.module:
            raise LeakguardError("-m needs the name of a module")
        return program.module(args.module[0], args.module[1:])
    if words[:1] == ["--"]:
        words = words[1:]
    if not words:
        raise LeakguardError(
            "which program? leakguard run prog.py … or leakguard run -m module …"
        )
    return program.script(words[0], words[1:])


def _last_report(supervisor: Supervisor, sink: _Sink) -> bool:
    """Deliver the report at exit; return whether it says there is a leak."""
    with contextlib.suppress(Exception):  # the program's stdout: its own trouble
        sys.stdout.flush()
    try:
        report = supervisor.finish()
        if report is not None:
            sink.deliver(report)
    except Exception as error:  # noqa: BLE001 - the program's exit code stays its own
        sink.complain(error)
        return False
    return report is not None and output.is_leak(report)


def _signal_number(name: str) -> int | None:
    if name.lower() == "none":
        return None
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    number = getattr(signal, full, None)
    if not isinstance(number, signal.Signals) or full in ("SIGKILL", "SIGSTOP"):
        raise argparse.ArgumentTypeError(f"{name!r} is not a signal one can handle")
    return number
