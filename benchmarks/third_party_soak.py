"""The test suites of well-known packages, watched, from their sdists.

Each suite runs as it is and under ``--leakguard``: no test may fail for it that passes
otherwise, and what grows is listed. Needs an index of packages to download from.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks._support import ROOT, Row, main

NAME = "Suites of third-party packages under --leakguard"
BUDGET = "no failure that the suite does not have by itself"

PACKAGES = ("cachetools", "click", "markupsafe")
_COUNT = re.compile(r"(\d+) (passed|failed|errors?)\b")
#: One place without a build of its own: these are pure Python, or fall back to it.
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


class Outcome(NamedTuple):
    """How one run of a suite ended."""

    passed: int
    failed: int
    seconds: float
    grown: list[str]


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - as for every benchmark
    """Run each suite without and with the plugin; print what grows."""
    rows = []
    for package in PACKAGES[:1] if quick else PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            suite, installed = _unpacked(package, Path(folder))
            bare = _outcome(suite, installed)
            watched = _outcome(suite, installed, "--leakguard")
        same = watched[:2] == bare[:2] and bare.passed > 0
        rows += [
            Row(
                f"{package}: passed", watched.passed, "", "bare", bare.passed, "=", same
            ),
            Row(f"{package} time", watched.seconds, "s", "bare", bare.seconds),
        ]
        print(f"{package}: after {len(watched.grown)} tests more memory is in use")
        for line in watched.grown:
            print(f"  {line}")
    return rows


def _unpacked(package: str, folder: Path) -> tuple[Path, Path]:
    """Download and install the package here; return its source and where it is."""
    command = (*_PIP, "download", "--no-deps", "--no-binary", ":all:", "-d", folder)
    subprocess.run([*command, package], check=True, stderr=subprocess.DEVNULL)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    (source,) = (path for path in folder.iterdir() if path.is_dir())
    installed = folder / "installed"
    command = (*_PIP, "install", "--no-deps", "--target", installed)
    subprocess.run([*command, archive], check=True, stderr=subprocess.DEVNULL)
    return source, installed


def _outcome(suite: Path, installed: Path, *options: str) -> Outcome:
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "tests", *options]
    common = ("-p", "no:cacheprovider", "-p", "leakguard.pytest_plugin", "-v")
    paths = os.pathsep.join(map(str, (installed, ROOT)))
    started = time.perf_counter()
    done = subprocess.run(
        [*command, *common],
        cwd=suite,
        env={
            **os.environ,
            "PYTHONPATH": paths,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    counts = {word: int(number) for number, word in _COUNT.findall(done.stdout)}
    failed = counts.get("failed", 0) + counts.get("errors", counts.get("error", 0))
    grown = re.findall(r"^grew, .*(?:\n +why .*)?", done.stdout, re.MULTILINE)
    return Outcome(
        counts.get("passed", 0), failed, time.perf_counter() - started, grown
    )


if __name__ == "__main__":
    main(NAME, BUDGET, run)
