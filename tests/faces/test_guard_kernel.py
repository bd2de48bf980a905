"""A cache without bound under a real limit: killed, or relieved in time."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kernel_groups import JOIN, MIB, write

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_BYTES = 96 * MIB
#: It stores 20 MB a second, and so twice what fits.
PROGRAM = """
import time
import leakguard

cache, stored = [], 0
with leakguard.Guard() as guard:
    if sys.argv[2] == "yes":
        guard.on_pressure(cache.clear)
    until = time.monotonic() + 30
    while stored < 200 and time.monotonic() < until:
        cache.append(bytearray(b"x") * (1 << 20))
        stored += 1
        time.sleep(0.05)
    freed = [relief.freed_bytes or 0 for relief in guard.counters.last_reliefs]
    print(guard.counters.transitions.get("high", 0), max(freed))
"""


@pytest.mark.zoo
@pytest.mark.slow
@pytest.mark.privileged
@pytest.mark.parametrize("relieved", ["yes", "no"])
def test_relief_comes_before_the_kernel(group: Path, relieved: str) -> None:
    write(group / "memory.limit_in_bytes", LIMIT_BYTES)
    done = subprocess.run(
        [sys.executable, "-c", JOIN + PROGRAM, str(group), relieved],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if relieved == "no":
        assert done.returncode == -signal.SIGKILL
        return
    assert done.returncode == 0, done.stderr
    times, freed_bytes = map(int, done.stdout.split())
    assert times >= 1
    assert freed_bytes > 20 * MIB
