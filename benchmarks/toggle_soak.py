"""Toggle tracemalloc beside threads that come and go: behind the fence, and without.

Each variant runs in a child process, so that a crash is seen as its signal. Beside
the toggles, threads are started and joined without end, and one thread keeps
calling what allocates without the GIL (zlib, lzma, ``os.getcwd``).

By itself: ``python benchmarks/toggle_soak.py 100000 --python /usr/bin/python3.12``
"""

from __future__ import annotations

import argparse
import lzma
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import ROOT, Row

if TYPE_CHECKING:
    from typing_extensions import Self

NAME = "tracemalloc toggled beside thread churn"
BUDGET = "no crash behind the fence"
STARTERS = 3
#: Toggles between two lines of progress: what is known of a child that crashed.
TELL_EVERY = 20
_SECONDS_PER_TOGGLE = 0.1
#: Threads take turns ten times as often as usual: more toggles in the time, and more
#: ways to interleave.
_SWITCH_SECONDS = 0.0005


@dataclass
class Churn:
    """Threads that start short threads without end, and one that compresses."""

    births: int = 0
    calls: int = 0
    over: bool = False

    def __enter__(self) -> Self:
        self.threads = [threading.Thread(target=self.bear) for _ in range(STARTERS)]
        self.threads.append(threading.Thread(target=self.allocate_outside_gil))
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        for thread in self.threads:
            thread.join()

    def bear(self) -> None:
        """Start and join threads that allocate a little and end."""
        while not self.over:
            child = threading.Thread(target=_live_shortly)
            child.start()
            child.join()
            self.births += 1  # a lost count in a hundred thousand does no harm

    def allocate_outside_gil(self) -> None:
        """Call what uses the raw allocator after letting go of the GIL."""
        small = zlib.compress(b"leak" * 20_000)
        other = lzma.compress(b"guard" * 2_000)
        while not self.over:
            zlib.decompress(small)
            lzma.decompress(other)
            os.getcwd()  # noqa: PTH109 - the call under test
            self.calls += 3
            time.sleep(0.0005)


def _live_shortly() -> None:
    lines = [bytes(300) for _ in range(50)]
    del lines


def fenced(toggles: int) -> int:
    """Toggle through the fence; returns how many were refused."""
    from leakguard._runtime import fence

    refused = 0
    toggle = [lambda: fence.start_tracing(1), fence.stop_tracing]
    done = 0
    while done < toggles:
        if toggle[done % 2]() is True:
            done += 1
        else:
            refused += 1
        # Let the threads run that were held back.
        time.sleep(0.0005)
        if done % TELL_EVERY == 0:
            _tell(done, refused)
    return refused


def unfenced(toggles: int) -> int:
    """Toggle as it comes."""
    for done in range(0, toggles, 2):
        tracemalloc.start(1)
        time.sleep(0.0005)
        tracemalloc.stop()
        time.sleep(0.0005)
        if done % TELL_EVERY == 0:
            _tell(done, 0)
    return 0


_CHURN = Churn()


def _tell(done: int, refused: int) -> None:
    line = f"{done} {refused} {_CHURN.births} {_CHURN.calls}\n"
    os.write(1, line.encode())


def soak_here(variant: str, toggles: int) -> None:
    """Run one variant in this process, telling its progress on stdout."""
    toggle = {"fenced": fenced, "unfenced": unfenced}[variant]
    sys.setswitchinterval(_SWITCH_SECONDS)
    with _CHURN:
        refused = toggle(toggles)
        _tell(toggles, refused)


@dataclass(frozen=True)
class Outcome:
    """How a child fared; ``crash`` is the name of the signal that ended it."""

    toggles: int
    refused: int
    births: int
    calls: int
    seconds: float
    crash: str | None

    def __str__(self) -> str:
        per_toggle = 1000 * self.seconds / max(1, self.toggles)
        return (
            f"{self.toggles} toggles, {self.refused} refused, {self.births} births, "
            f"{self.calls} calls outside the GIL, {self.seconds:.0f} s "
            f"({per_toggle:.1f} ms per toggle), crash: {self.crash or 'none'}"
        )


def soak(variant: str, toggles: int, python: str = sys.executable) -> Outcome:
    """Run one variant in a child process."""
    command = [python, __file__, str(toggles), "--here", variant]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": ""}
    started = time.monotonic()
    try:
        child = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            check=False,
            timeout=60 + toggles * _SECONDS_PER_TOGGLE,
        )
        told, code, said = child.stdout, child.returncode, child.stderr.decode()
    except subprocess.TimeoutExpired as late:
        told, code, said = late.stdout or b"", 0, ""
        crash: str | None = "a deadlock: it never ended"
    else:
        crash = signal.Signals(-code).name if code < 0 else None
        crash = f"exit {code}: {said[-300:]}" if code > 0 else crash
    last = (told.decode().splitlines() or ["0 0 0 0"])[-1]
    numbers = [int(number) for number in last.split()]
    return Outcome(*numbers, seconds=time.monotonic() - started, crash=crash)


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Return the crashes of both variants and the price of a toggle."""
    safe = soak("fenced", 400 if quick else 20_000)
    bare = soak("unfenced", 2_000 if quick else 20_000)
    crashes = int(safe.crash is not None)
    each_ms = 1000 * safe.seconds / max(1, safe.toggles)
    return [
        Row(
            f"crashes in {safe.toggles} toggles beside {safe.births} births",
            crashes,
            "crashes",
            f"unfenced, after {bare.toggles}",
            int(bare.crash is not None),
            "0 crashes",
            crashes == 0,
        ),
        Row("one toggle beside the churn", each_ms, "ms"),
    ]


def main() -> int:
    """Run the soak from the command line; 1 if the fenced variant crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("toggles", nargs="?", type=int, default=20_000)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--unfenced", type=int, default=0, metavar="TOGGLES")
    parser.add_argument("--here", choices=["fenced", "unfenced"])
    options = parser.parse_args()
    if options.here:
        soak_here(options.here, options.toggles)
        return 0
    outcome = soak("fenced", options.toggles, options.python)
    print(f"fenced:   {outcome}", flush=True)
    if options.unfenced:
        print(f"unfenced: {soak('unfenced', options.unfenced, options.python)}")
    return int(outcome.crash is not None)


if __name__ == "__main__":
    raise SystemExit(main())
