"""The heap limit: a ratio of pressure, and the kernel's limit that follows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import leakguard
from leakguard._core.pressure import Pressure
from leakguard._core.records import Unknown
from leakguard._readers.rlimits import DataLimit, Own
from leakguard._runtime.heap_limit import RESERVE_BYTES, SOURCE, HeapLimit

SOURCE_ROOT = str(Path(leakguard.__file__).parents[1])
MIB = 1 << 20


class Kernel(DataLimit):
    """A limit that is only noted; ``most`` is how far it may be raised."""

    def __init__(self, soft: int | None = None, most: int | None = None) -> None:
        self.soft, self.most = soft, most
        self.refuses = False

    def read(self) -> tuple[int | None, int | None]:
        return self.soft, self.most

    def write(self, limit_bytes: int | None) -> None:
        if self.refuses:
            raise ValueError("not allowed to raise maximum limit")
        self.soft = limit_bytes


class World:
    def __init__(self, kernel: Kernel | None = None, why_not: str = "") -> None:
        self.kernel = kernel or Kernel()
        self.own: Own | Unknown = Own(40 * MIB, 180 * MIB)
        self.heap = HeapLimit(
            400 * MIB,
            hard=True,
            read=lambda: self.own,
            rlimit=self.kernel,
            why_not=lambda: why_not,
        )

    @property
    def soft_mib(self) -> int | None:
        return None if self.kernel.soft is None else self.kernel.soft // MIB


def test_the_soft_limit_is_a_ratio_and_sets_nothing() -> None:
    kernel = Kernel()
    heap = HeapLimit(100, read=lambda: Own(80, 500), rlimit=kernel)
    heap.start()
    assert heap.look() == Pressure(0.8, 80, 100, SOURCE)
    with heap.raised():
        pass
    heap.stop()
    assert kernel.soft is None
    assert heap.rlimits() == ()


def test_without_a_limit_nothing_is_done() -> None:
    heap = HeapLimit(None, hard=True, rlimit=Kernel(7))
    heap.start()
    assert not heap.in_force


def test_what_cannot_be_read_is_a_reason() -> None:
    heap = HeapLimit(100, read=lambda: Unknown("unsupported: no /proc"))
    assert heap.look() == Pressure(None, None, 100, "unsupported: no /proc")


def test_what_was_never_touched_comes_on_top() -> None:
    world = World()
    world.heap.start()
    assert world.soft_mib == 400 + 140
    assert world.heap.rlimits() == ("DATA",)
    world.own = Own(40 * MIB, 500 * MIB)  # 40 threads, each with a stack of 8 MiB
    assert world.heap.look().ratio == 0.1
    assert world.soft_mib == 400 + 460
    world.own = Own(420 * MIB, 500 * MIB)
    world.heap.look()
    assert world.soft_mib == 400 + 80  # below what is mapped: no more is
    world.heap.stop()
    assert world.soft_mib is None
    assert not world.heap.in_force


def test_twice_is_once() -> None:
    world = World(Kernel(5_000 * MIB))
    world.heap.start()
    world.heap.start()
    world.heap.stop()
    world.heap.stop()
    assert world.soft_mib == 5_000


def test_what_someone_else_has_set_since_stays() -> None:
    world = World()
    world.heap.start()
    world.kernel.soft = 77 * MIB
    world.heap.stop()
    assert world.soft_mib == 77


def test_the_limits_that_were_there_are_not_exceeded() -> None:
    world = World(Kernel(300 * MIB, 800 * MIB))
    world.heap.start()
    assert world.soft_mib == 300
    with world.heap.raised():
        assert world.soft_mib == 300
    world = World(Kernel(None, 500 * MIB))
    world.heap.start()
    assert world.soft_mib == 500


def test_the_reserve_is_there_meanwhile_also_for_several() -> None:
    world = World()
    world.heap.start()
    reserve = RESERVE_BYTES // MIB
    with world.heap.raised():
        assert world.soft_mib == 540 + reserve
        with world.heap.raised():
            world.heap.look()
            assert world.soft_mib == 540 + reserve
        assert world.soft_mib == 540 + reserve
    assert world.soft_mib == 540


def test_a_fork_within_leaves_no_reserve_behind() -> None:
    world = World()
    world.heap.start()
    with world.heap.raised():
        world.heap.reset()
        world.heap.look()
        assert world.soft_mib == 540
    assert world.soft_mib == 540
    with world.heap.raised():
        assert world.soft_mib == 540 + RESERVE_BYTES // MIB


def test_a_refused_reserve_is_not_the_programs_trouble() -> None:
    world = World()
    world.heap.start()
    world.kernel.refuses = True
    with world.heap.raised():
        pass
    assert world.soft_mib == 540


def test_where_there_can_be_none_that_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusing = Kernel()
    refusing.refuses = True
    worlds = {
        "unsupported: an operating system": World(why_not="unsupported: an operating"),
        "not allowed to raise": World(refusing),
        "420 MiB are in use already, and the limit is 400 MiB": World(),
        "unsupported: no /proc": World(),
        "unsupported: gone": World(),
    }
    used, hidden, gone = list(worlds.values())[2:]
    used.own = Own(420 * MIB, 500 * MIB)
    hidden.own = Own(1, None)
    gone.own = Unknown("unsupported: gone")
    for why, world in worlds.items():
        caplog.clear()
        world.heap.start()
        assert not world.heap.in_force
        assert world.soft_mib is None
        (told,) = caplog.messages
        assert why.removesuffix(" system") in told
        world.heap.stop()


REAL = """if True:
    import os, resource, sys, threading, time
    import leakguard
    def soft():
        return resource.getrlimit(resource.RLIMIT_DATA)[0]
    before = soft()
    with leakguard.Guard(heap_limit="200 MiB", hard=True, budget=0) as guard:
        assert soft() > 200 << 20
        kept = []
        try:
            while True:
                kept.append(bytearray(b"x") * (1 << 20))
        except MemoryError:
            held = len(kept)
            del kept
        # Around the limit, less what the interpreter itself holds.
        assert 120 < held < 200, held
        until = time.monotonic() + 10
        threads = [threading.Thread(target=time.sleep, args=(20,), daemon=True)
                   for _ in range(12)]
        for thread in threads:
            thread.start()
        mapped = soft()
        while soft() <= mapped and time.monotonic() < until:
            time.sleep(0.05)
        assert soft() > mapped + (60 << 20), "the stacks of threads come on top"
        child = os.fork()
        if child == 0:
            from leakguard._runtime.monitor import process
            assert process().monitor.heap.in_force
            guard.stop()
            os._exit(0 if soft() == before else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert soft() == before
    print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA as Linux has it")
def test_in_a_real_process_it_is_kept_and_put_back() -> None:
    command = [sys.executable, "-c", REAL]
    done = subprocess.run(
        command, check=False, timeout=60, cwd=SOURCE_ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"done\n"
