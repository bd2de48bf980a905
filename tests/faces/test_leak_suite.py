"""A sample of the benchmark's suite: what leaks is found, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leakguard

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
#: Each so manieth way to leak, and to look like it.
EVERY = 8
WRITE = "import sys; from pathlib import Path; from benchmarks.leak_suite import write;"


@pytest.mark.slow
def test_leaks_are_found_and_innocents_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = f"{WRITE} write(Path(sys.argv[1]), 'leakguard', (64, 16384), {EVERY})"
    command = [sys.executable, "-c", write, str(pytester.path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)  # as a reader has it: coverage makes it slow
    monkeypatch.setenv("PYTHONPATH", str(Path(leakguard.__file__).parents[1]))
    run: Callable[..., pytest.RunResult] = pytester.runpytest_subprocess
    result = run(
        *("-p", "leakguard.pytest_plugin", "-p", "anyio.pytest_plugin", "-rA"),
        # A busy machine gets through too few calls in a second.
        *("--leakguard-seconds", "3"),
        timeout=300,
    )
    result.assert_outcomes(passed=4, failed=6)
    lines = [line.split()[:2] for line in result.outlines]
    outcomes = {tuple(words) for words in lines if words and words[0].isupper()}
    assert not any("leak_" in test for word, test in outcomes if word == "PASSED")
    assert not any("fine_" in test for word, test in outcomes if word == "FAILED")
