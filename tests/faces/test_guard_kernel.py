"""A cache without bound under a real limit: killed, or relieved in time."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from leakguard._core.recycling import NEVER
from tests.kernel_groups import JOIN, MIB, REPOSITORY, write

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


@pytest.mark.privileged
def test_as_process_1_it_watches_and_asks_nobody() -> None:
    code = f"""if True:
        import os, signal, sys
        sys.path.insert(0, {str(REPOSITORY)!r})
        import leakguard
        from leakguard._readers.servers import here, is_caught, read_worker
        assert os.getpid() == 1
        with leakguard.Guard() as guard:
            assert guard.pressure.unreclaimable_bytes
        assert is_caught(signal.SIGINT, 1) and not is_caught(signal.SIGTERM, 1)
        print(read_worker(here()).reason)
    """
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    able = shutil.which("unshare") and not subprocess.call([*alone, "true"])
    if not able:
        pytest.skip("no namespace of processes that we may make")
    command = [*alone, sys.executable, "-c", code]
    shown = subprocess.check_output(command, text=True, timeout=60)
    assert shown.strip() == NEVER["init"]
