"""Run one program of the zoo in a fresh interpreter, and hold the report against it.

Rules of this file: only the public command and its JSON document are used, as a
user would; a missing or broken report is a complaint, never an exception.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catalogue import Program

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 90.0
LEAK_VERDICTS = frozenset({"leak", "native-leak"})
#: Settings of the caller's that would change what the program does.
DROPPED = ("PYTHONWARNINGS", "PYTHONTRACEMALLOC", "PYTHONMALLOC", "PYTHONINSPECT")


@dataclass(frozen=True, slots=True)
class Run:
    """What one interpreter answered; ``document`` is ``None`` when it gave none."""

    document: dict[str, Any] | None
    exit_code: int | None
    seconds: float
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The complaints about a report; none means that it is right."""

    complaints: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return not self.complaints


def run(
    program: Program,
    python: str = sys.executable,
    timeout_seconds: float = TIMEOUT_SECONDS,
    seconds: float | None = None,
) -> Run:
    """Diagnose a program from outside with the public command.

    ``seconds`` is its time budget, the command's own when not given.
    """
    target = f"{program.path}:step"
    command = [python, "-m", "leakguard", "diagnose", target, "--json"]
    if seconds is not None:
        command += ["--seconds", str(seconds)]
    environment = {k: v for k, v in os.environ.items() if k not in DROPPED}
    environment["PYTHONHASHSEED"] = "0"
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        took = time.monotonic() - began
        return Run(None, None, took, f"no answer after {timeout_seconds:g} s")
    took = time.monotonic() - began
    document, trouble = _decode(done.stdout)
    if trouble:
        trouble += f"; stderr: {done.stderr.strip()[-600:] or 'empty'}"
    return Run(document, done.returncode, took, trouble)


def _decode(text: str) -> tuple[dict[str, Any] | None, str]:
    try:
        document = json.loads(text)
    except ValueError as error:
        return None, f"stdout is no JSON document ({error})"
    if not isinstance(document, dict) or "verdict" not in document:
        return None, "stdout is JSON, but no report"
    return document, ""


def judge(program: Program, answer: Run) -> Outcome:
    """Hold one answer against what the program promises."""
    document = answer.document
    if document is None:
        return Outcome((answer.trouble,))
    verdict = document["verdict"]["kind"]
    suspects = document.get("suspects", [])
    complaints = []
    if verdict not in program.verdicts:
        wanted = " or ".join(sorted(program.verdicts))
        complaints.append(f"verdict {verdict}, not {wanted}: {_reason(document)}")
    if answer.exit_code != int(verdict in LEAK_VERDICTS):
        complaints.append(f"exit code {answer.exit_code} for verdict {verdict}")
    if program.kind == "innocent" and suspects:
        complaints.append(f"an innocent is accused: {describe(suspects[0])}")
    if program.kind == "leak" and not _named(program, verdict, suspects):
        first = describe(suspects[0]) if suspects else "nobody"
        complaints.append(f"the first suspect is {first}, not {_wanted(program)}")
    if suspects:
        complaints += _about_the_first(program, suspects[0])
    return Outcome(tuple(complaints))


def _about_the_first(program: Program, suspect: dict[str, Any]) -> list[str]:
    """Return what is wrong with the pattern and the C function of a suspect."""
    complaints = []
    pattern = suspect.get("pattern")
    # Without a holder there may be nothing to go by; then it is not claimed, either.
    unclaimed = (None,) if suspect.get("owner") else (None, "other")
    if program.pattern and pattern not in (*unclaimed, program.pattern):
        complaints.append(f"pattern {pattern}, not {program.pattern}")
    function = suspect.get("type") or "not known"
    if program.c_function and program.c_function not in function:
        complaints.append(f"C function {function}, not {program.c_function}")
    return complaints


def _named(program: Program, verdict: str, suspects: list[dict[str, Any]]) -> bool:
    if not suspects:
        # C memory has no Python line that must be named.
        return verdict == "native-leak"
    first = suspects[0]
    if verdict == "native-leak" and first.get("source") == "native":
        return True
    return site_matches(program, first.get("site")) or owner_matches(
        program.owner, (first.get("owner") or {}).get("path")
    )


def site_matches(program: Program, site: dict[str, Any] | None) -> bool:
    """Tell whether a site is a marked line, or in an acceptable function."""
    if site is None or not _same_file(program.path, site["file"]):
        return False
    if site["line"] in program.marked_lines:
        return True
    function = (site.get("function") or "").rsplit(".", 1)[-1]
    return function in program.sites


def _same_file(path: Path, named: str) -> bool:
    parts = Path(named).parts
    return bool(parts) and path.parts[-len(parts) :] == parts


def owner_matches(expected: str | None, path: str | None) -> bool:
    """Tell whether an owner's path contains the expected one, part by part.

    Subscripts and calls are not compared: ``app.BUS._listeners['x'][3]`` contains
    ``BUS._listeners``.
    """
    if not expected or not path:
        return False
    wanted, found = _parts(expected), _parts(path)
    width = len(wanted)
    return any(found[n : n + width] == wanted for n in range(len(found) - width + 1))


def _parts(path: str) -> list[str]:
    bare = re.sub(r"\[[^\]]*\]|\([^)]*\)", "", path)
    return [part for part in bare.split(".") if part]


def growth_in_range(program: Program, document: dict[str, Any]) -> bool | None:
    """Tell whether the growth per call is the true one; ``None`` if not stated."""
    growth = document["verdict"].get("growth_bytes_per_call")
    if growth is None or program.bytes_per_call is None:
        return None
    low, high = program.bytes_per_call
    return bool(low <= growth <= high)


def describe(suspect: dict[str, Any]) -> str:
    """Name a suspect in one short line."""
    site = suspect.get("site")
    owner = (suspect.get("owner") or {}).get("path")
    if site is None:
        where = f"({suspect.get('source')})"
    else:
        where = f"{Path(site['file']).name}:{site['line']} {site.get('function')}"
    return f"{where} held by {owner}" if owner else where


def _wanted(program: Program) -> str:
    names = ", ".join(sorted(program.sites))
    return f"in {names}, or held by {program.owner}"


def _reason(document: dict[str, Any]) -> str:
    return str(document["verdict"].get("reason", ""))
