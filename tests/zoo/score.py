"""Run the whole zoo and print what the reports say, right and wrong ones.

Usage: ``python tests/zoo/score.py [--python PY] [--only NAME] [--seconds N]``.
The exit code is 1 when a report is wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import catalogue
import runner

COLUMNS = "{mark:4} {kind:8} {name:30} {verdict:13} {confidence:>5} {seconds:>6} {rest}"


@dataclass(frozen=True, slots=True)
class Score:
    """One line of the table."""

    program: catalogue.Program
    answer: runner.Run
    outcome: runner.Outcome


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    chosen = [p for p in catalogue.programs() if _chosen(p, options)]
    if not chosen:
        print("no program of the zoo has such a name", file=sys.stderr)
        return 2
    _print_line("ok?", "kind", "name", "verdict", "conf", "sec", "first suspect")
    scores = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for score in pool.map(lambda p: _score(p, options), chosen):
            scores.append(score)
            _print_score(score)
    _print_summary(scores)
    if options.json:
        rows = [_as_json(score) for score in scores]
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(any(not score.outcome.ok for score in scores))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="a name or a pattern such as 'asyncio_*'; may be repeated",
    )
    parser.add_argument("--kind", choices=["leak", "innocent"])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, help="the time budget of each")
    parser.add_argument("--timeout", type=float, default=runner.TIMEOUT_SECONDS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all reports")
    return parser


def _chosen(program: catalogue.Program, options: argparse.Namespace) -> bool:
    if options.kind and program.kind != options.kind:
        return False
    if options.only and not any(fnmatch(program.name, p) for p in options.only):
        return False
    return program.needs is None or _has_module(options.python, program.needs)


def _has_module(python: str, module: str) -> bool:
    command = [python, "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _score(program: catalogue.Program, options: argparse.Namespace) -> Score:
    answer = runner.run(program, options.python, options.timeout, options.seconds)
    return Score(program, answer, runner.judge(program, answer))


def _print_line(*cells: str) -> None:
    names = ("mark", "kind", "name", "verdict", "confidence", "seconds", "rest")
    print(COLUMNS.format(**dict(zip(names, cells, strict=True))), flush=True)


def _print_score(score: Score) -> None:
    document = score.answer.document or {}
    verdict = document.get("verdict", {})
    confidence = verdict.get("confidence")
    _print_line(
        "ok" if score.outcome.ok else "MISS",
        score.program.kind,
        score.program.name,
        str(verdict.get("kind", "-")),
        "-" if confidence is None else f"{confidence:.2f}",
        f"{score.answer.seconds:.1f}",
        _details(score.program, document),
    )
    for complaint in score.outcome.complaints:
        print(f"     ! {complaint}", flush=True)


def _details(program: catalogue.Program, document: dict[str, Any]) -> str:
    if not document:
        return ""
    suspects = document.get("suspects") or []
    details = [runner.describe(suspects[0])] if suspects else []
    growth = document["verdict"].get("growth_bytes_per_call")
    if growth is not None:
        wrong = runner.growth_in_range(program, document) is False
        expected = f" (true: {program.bytes_per_call})" if wrong else ""
        details.append(f"{growth:.0f} B/call{expected}")
    if suspects and program.habit not in (None, suspects[0].get("habit")):
        details.append(f"habit {suspects[0].get('habit')}, not {program.habit}")
    return ", ".join(details)


def _print_summary(scores: list[Score]) -> None:
    for kind in ("leak", "innocent"):
        of_kind = [score for score in scores if score.program.kind == kind]
        right = sum(score.outcome.ok for score in of_kind)
        slowest = max((score.answer.seconds for score in of_kind), default=0.0)
        print(f"{kind}: {right} of {len(of_kind)} right, slowest {slowest:.1f} s")


def _as_json(score: Score) -> dict[str, Any]:
    return {
        "name": score.program.name,
        "kind": score.program.kind,
        "ok": score.outcome.ok,
        "complaints": list(score.outcome.complaints),
        "seconds": round(score.answer.seconds, 2),
        "exit_code": score.answer.exit_code,
        "report": score.answer.document,
    }


if __name__ == "__main__":
    raise SystemExit(main())
