"""The built wheel under every other Python: the unit tests, each in its environment.

An interpreter is taken from pyenv or from the path. One that is not there, or whose
environment cannot be furnished, is skipped with the reason. By default the oldest and
the newest that are there run; with ``LEAKGUARD_EVERY_PYTHON=1`` those between, too.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
EVERY = "LEAKGUARD_EVERY_PYTHON"
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
SELECTED = "not zoo and not matrix and not soak and not slow"
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")
#: Nothing of the outer run's coverage, options or paths reaches the inner one.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("COV", "PYTEST", "PYTHON", "LEAKGUARD", "VIRTUAL_ENV"))
}


def _call(*command: object, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def _from_pyenv(version: str) -> str | None:
    if not shutil.which("pyenv"):
        return None
    names = _call("pyenv", "versions", "--bare").stdout.split()
    found = [name for name in names if name.startswith(f"{version}.")]
    home = _call("pyenv", "prefix", found[-1]).stdout.strip() if found else ""
    return f"{home}/bin/python" if home else None


def _interpreter(version: str) -> str:
    """Return a working interpreter of that version, or skip."""
    found = _found(version)
    if found is None:
        pytest.skip(f"no Python {version} here, neither in pyenv nor on the path")
    others = [name for name in VERSIONS if name not in (OURS, version) and _found(name)]
    between = others and others[0] < version < others[-1]
    if between and not os.environ.get(EVERY):
        pytest.skip(f"it lies between others that run; {EVERY}=1 asks for it, too")
    return found


@functools.cache
def _found(version: str) -> str | None:
    for path in (_from_pyenv(version), shutil.which(f"python{version}")):
        if path and _call(path, "-c", "").returncode == 0:
            return path
    return None


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    done = _call(sys.executable, *PIP, "wheel", "--no-deps", "-w", target, ROOT)
    if done.returncode:
        pytest.skip(f"no wheel can be built here: {done.stderr[-400:]}")
    return next(target.glob("*.whl"))


def _furnished(interpreter: str, home: Path, wheel: Path) -> Path:
    """Return the ``bin`` of an environment that holds the wheel and its tests' needs.

    It is kept from run to run in pytest's cache; the wheel is put in each time.
    """
    steps = (
        (interpreter, "-m", "venv", home),
        (home / "bin/python", *PIP, "install", f"{wheel}[test,demo]"),
        (home / "bin/python", *PIP, "install", "--no-deps", "--force-reinstall", wheel),
    )
    for step in steps:
        done = _call(*step)
        if done.returncode:
            pytest.skip(f"nothing can be installed here: {done.stderr[-400:]}")
    return home / "bin"


@pytest.mark.matrix
@pytest.mark.parametrize("version", [name for name in VERSIONS if name != OURS])
def test_the_wheel_passes_the_unit_tests_elsewhere(
    version: str, wheel: Path, pytestconfig: pytest.Config
) -> None:
    interpreter = _interpreter(version)
    home = pytestconfig.cache.mkdir("matrix") / version
    programs = _furnished(interpreter, home, wheel)
    # The program "pytest", unlike "python -m pytest", leaves our directory off the
    # path: what is imported is the wheel.
    # A second chance, which is told: all that fails for good fails at home, too.
    # What is pure is the same on every interpreter; all the rest imports it.
    options = ("-p", "no:cacheprovider", "--reruns", "1", "--hypothesis-profile", "few")
    options += tuple(
        f"--ignore=tests/{name}" for name in ("core", "render", "simulated")
    )
    command = (programs / "pytest", *options, "-m", SELECTED)
    done = _call(*command, seconds=800)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
