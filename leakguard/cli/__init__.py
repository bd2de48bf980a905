"""The command line: a table of verbs, and how each way to end becomes an exit code.

Rules of this file: a verb is a module with ``add_arguments(parser)`` and
``run(args) -> int``, imported when it is asked for. 0 is fine, 1 a leak found, 2 an
error of usage or input with one clear line on stderr.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
import traceback
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, cast

from leakguard._core.records import LeakguardError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: verb -> the module that does it, and its line in ``leakguard --help``.
VERBS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "diagnose": (
            "leakguard.cli.diagnose",
            "call a function many times and say what it leaks, where and why",
        ),
        "run": (
            "leakguard.cli.run",
            "run a program and report what leaks: at exit, on a signal, every so often",
        ),
        "classify": (
            "leakguard.cli.classify",
            "say what kind of growth a memory log shows: docker stats, CSV, sizes",
        ),
        "report": ("leakguard.cli.report", "show a saved report"),
        "doctor": (
            "leakguard.cli.doctor",
            "say which limits apply here and which settings will hurt",
        ),
        "demo": (
            "leakguard.cli.demo",
            "watch a leaking web shop being diagnosed (needs Flask)",
        ),
    }
)
_EXIT_CODES = (
    "exit codes: 0 fine, 1 a leak found, 2 an error of usage or input (one line on "
    "stderr)"
)
_ERROR, _INTERRUPTED, _BROKEN_PIPE = 2, 130, 141  # the last two as a shell counts them


class Verb(Protocol):
    """What the module of a verb offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Describe the verb and declare its arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code.

        ``args.owns_process`` says that the process ends after this.
        """


class UsageError(LeakguardError):
    """Arguments that make no sense together."""


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors are one line, raised instead of printed."""

    def error(self, message: str) -> NoReturn:
        """Raise the message with the command that explains more."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Without ``argv`` it is the process's own, which then ends with this call: what a
    diagnosed function prints later still stays away from the report on stdout.
    """
    owns_process = argv is None
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments, owns_process=owns_process)
    except LeakguardError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()
        return _BROKEN_PIPE
    except Exception:  # noqa: BLE001 - Python's own code for this, 1, means "a leak"
        traceback.print_exc()
        return _fail("this is a bug in leakguard: please report the lines above")


def _dispatch(arguments: list[str], *, owns_process: bool) -> int:
    name = arguments[0] if arguments else ""
    try:
        if name not in VERBS:
            _front_page(name, arguments)
        module, line = VERBS[name]
        verb = cast("Verb", importlib.import_module(module))
        parser = Parser(
            prog=f"leakguard {name}",
            description=line[:1].upper() + line[1:] + ".",
            epilog=_EXIT_CODES,
            allow_abbrev=False,
        )
        verb.add_arguments(parser)
        args = parser.parse_args(arguments[1:])
    except SystemExit as done:  # argparse ends --help and --version this way
        return int(done.code or 0)
    args.owns_process = owns_process
    return verb.run(args)


def _front_page(name: str, arguments: list[str]) -> NoReturn:
    """Answer what is not a verb: ``--help``, ``--version`` or a mistake."""
    parser = Parser(
        prog="leakguard",
        description="Find memory leaks: what grows, where it is allocated, who holds "
        "it and what to change.",
        epilog=_EXIT_CODES,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    verbs = parser.add_subparsers(metavar="VERB", title="verbs")
    for verb, (_, line) in VERBS.items():
        verbs.add_parser(verb, help=line, add_help=False)
    if name.startswith("-"):
        parser.parse_args(arguments[:1])
    if not name or name.startswith("-"):
        parser.error(f"which verb? one of {', '.join(VERBS)}")
    near = difflib.get_close_matches(name, VERBS, n=1)
    meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(VERBS)}"
    parser.error(f"no verb {name!r}: {meant}")


def _version() -> str:
    import leakguard

    return f"leakguard {leakguard.__version__}"


def _fail(message: str) -> int:
    if sys.stderr is not None:  # a process may be started without one
        print("leakguard:", " ".join(message.split()), file=sys.stderr, flush=True)
    return _ERROR


def _discard_stdout() -> None:
    """Keep the interpreter from failing again on the closed pipe when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
