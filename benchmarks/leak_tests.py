"""A suite of 200 tests under leakguard, pytest-memray and psleak.

Found leaks, false alarms and time, in one table; and what the plugin costs a suite of
1 000 tests that ask for nothing. The peers are in the ``bench`` extra.
"""

from __future__ import annotations

import importlib.util
import operator
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._support import ROOT, Row, at_most, main
from benchmarks.leak_suite import write
from benchmarks.leak_suite.ways import LEAKS, SIZES

if TYPE_CHECKING:
    from benchmarks.leak_suite import Tool

NAME = "Leak tests: 100 that leak in 20 ways, 100 innocents; 1 000 unmarked tests"
BUDGET = "at least 99 found, 0 false alarms, a marked fast test <= 1.5 s, unmarked 1.01"

_UNMARKED = 1_000
_PAIRS = 25
_TEST = r"(?:\S*/)?test_(leak|fine)_\w+\.py"
_OUTCOME = re.compile(rf"^(PASSED|FAILED|ERROR|MEMORY PROBLEMS) {_TEST}", re.MULTILINE)
_DURATION = re.compile(rf"^(\d+\.\d+)s call +{_TEST}", re.MULTILINE)
#: Tool -> options of pytest, and what it needs in the environment.
_RUNS: dict[Tool, tuple[tuple[str, ...], dict[str, str]]] = {
    "leakguard": (("-p", "leakguard.pytest_plugin"), {}),
    "memray": (("-p", "pytest_memray.plugin", "--memray"), {}),
    "psleak": ((), {"PYTHONMALLOC": "malloc"}),
}
#: What pytest returns when all passed and when some failed.
_ENDED = (0, 1)
_MODULES = {"memray": "pytest_memray", "psleak": "psleak"}


class Score(NamedTuple):
    """What one tool found of a suite, and how long its calls took."""

    found: int
    false_alarms: int
    seconds: float
    median_call_seconds: float
    longest_call_seconds: float


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - as for every benchmark
    """Run the suite with each tool, and the unmarked one with and without ours."""
    every = 8 if quick else 1
    scores = {tool: _score(tool, every) for tool in _RUNS if _is_there(tool)}
    leaks = len([*LEAKS][::every]) * len(SIZES)
    ours = scores["leakguard"]
    most = ours.found >= 0.99 * leaks
    rows = [
        Row("found", ours.found, f"of {leaks}", None, None, ">= 99 %", most),
        at_most("false alarms", ours.false_alarms, "tests", 0),
        at_most("a test, median", ours.median_call_seconds, "s", 1.5),
        Row("a test, longest", ours.longest_call_seconds, "s"),
        Row("the suite", ours.seconds, "s"),
    ]
    for tool, theirs in scores.items():
        if tool != "leakguard":
            rows += [
                Row("found", ours.found, "tests", tool, theirs.found),
                Row("false alarms", ours.false_alarms, "tests", tool, theirs[1]),
                Row("the suite", ours.seconds, "s", tool, theirs.seconds),
            ]
    ratio = unmarked_ratio(3 if quick else _PAIRS)
    return [*rows, at_most("an unmarked suite, with the plugin", ratio, "x", 1.01)]


def _is_there(tool: Tool) -> bool:
    module = _MODULES.get(tool)
    return module is None or importlib.util.find_spec(module) is not None


def _score(tool: Tool, every: int) -> Score:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "suite")
        write(directory, tool, every=every)
        options, environ = _RUNS[tool]
        started = time.perf_counter()
        text = _pytest(directory, ("-rA", "--durations=0", "-vv", *options), environ)
        seconds = time.perf_counter() - started
    alarms = [kind for outcome, kind in _OUTCOME.findall(text) if outcome != "PASSED"]
    calls = [float(duration) for duration, _ in _DURATION.findall(text)]
    return Score(
        alarms.count("leak"),
        alarms.count("fine"),
        seconds,
        statistics.median(calls or [float("nan")]),
        max(calls, default=float("nan")),
    )


def unmarked_ratio(pairs: int) -> float:
    """Return a suite's processor time with the plugin to that without.

    The median of pairs that follow each other: the machine's speed drifts.
    """
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        body = "\n".join(f"def test_{n}():\n    pass\n" for n in range(_UNMARKED))
        (directory / "test_unmarked.py").write_text(body)
        _pytest(directory, (), {})  # compiles the file
        times: dict[bool, list[float]] = {True: [], False: []}
        for pair in range(pairs):
            for loaded in (True, False) if pair % 2 else (False, True):
                options = ("-p", "leakguard.pytest_plugin") if loaded else ()
                before = _children_seconds()
                _pytest(directory, options, {})
                times[loaded].append(_children_seconds() - before)
    ratios = map(operator.truediv, times[True], times[False])
    return statistics.median(ratios)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pytest(directory: Path, options: tuple[str, ...], environ: dict[str, str]) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", *options]
    common = ("-p", "no:cacheprovider", "-p", "anyio.pytest_plugin")
    # As for most users, what is compiled is kept.
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [*command, *common],
        cwd=directory,
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **environ,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode not in _ENDED:
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout[-500:]}")
    return done.stdout


if __name__ == "__main__":
    main(NAME, BUDGET, run)
