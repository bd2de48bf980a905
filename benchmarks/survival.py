"""What becomes of a leaking web application at its memory limit, with and without.

Each life is a real server of two workers in a memory control group of its own, under
steady load from this process. What counts is what the kernel killed and what clients
got. Bare, it is killed again and again; beside it runs the server's own remedy, a
worker's end after so many requests.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import ROOT, Row, main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "survival at the limit"
BUDGET = "no kill, 99 % of critical requests answered 200, nothing reset or cut"

LIMIT_BYTES, LOWERED_BYTES = 192 << 20, 160 << 20
SECONDS, QUICK_SECONDS = 180.0, 60.0
_MEMORY = Path("/sys/fs/cgroup/memory")
_START_SECONDS = 30.0
#: uvicorn kills a worker that answers no ping for 5 s, and cuts what it was doing.
_STOPPED_SECONDS = 3.0
#: Requests a second, by path; each comes on a connection of its own.
_RATES = {"/page": 20.0, "/pay/1": 20.0, "/slow": 2.0}
_BURSTS = {**_RATES, "/burst": 0.5}
_CRITICAL = ("/pay/1", "/slow")
_CLIENTS_PER_PATH = 8
#: Each worker's end after so many requests keeps the sum of both below the limit.
_MOST_REQUESTS = 400


class Server(NamedTuple):
    """How a server is started, and its own remedy."""

    module: str
    command: tuple[str, ...]
    remedy: tuple[str, ...]


class Life(NamedTuple):
    """What one life of a server came to."""

    kills: int
    answers: Counter[tuple[str, str]]
    peak_ratio: float

    def share(self, *statuses: str) -> float:
        """Return the share of the critical requests that had one of these ends."""
        critical = [item for item in self.answers.items() if item[0][0] in _CRITICAL]
        of_these = sum(count for (_, status), count in critical if status in statuses)
        return of_these / max(1, sum(count for _, count in critical))

    @property
    def broken(self) -> int:
        """Requests that got no whole answer."""
        bad = ("reset", "cut", "silence")
        return sum(n for (_, status), n in self.answers.items() if status in bad)


_SERVERS = {
    "gunicorn, Flask": Server(
        "gunicorn",
        (
            *("gunicorn", "--workers", "2", "--worker-class", "gthread"),
            *("--threads", "8", "--log-level", "error", "--bind", "127.0.0.1:{port}"),
            "benchmarks.survival_app:flask_app()",
        ),
        ("--max-requests", str(_MOST_REQUESTS), "--max-requests-jitter", "40"),
    ),
    "uvicorn, FastAPI": Server(
        "uvicorn",
        (
            *("uvicorn", "--workers", "2", "--log-level", "error"),
            *("--port", "{port}", "--factory", "benchmarks.survival_app:fastapi_app"),
        ),
        ("--limit-max-requests", str(_MOST_REQUESTS)),
    ),
}


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Let each server live bare, with its remedy, guarded, and guarded in trouble."""
    if not os.access(_MEMORY, os.W_OK):
        print("skipped: no memory control group of version 1 that we may write")
        return []
    seconds = QUICK_SECONDS if quick else SECONDS
    rows: list[Row] = []
    for name, server in _SERVERS.items():
        if importlib.util.find_spec(server.module):
            rows += _rows(name, server, seconds, quick=quick)
    return rows


def _rows(name: str, server: Server, seconds: float, *, quick: bool) -> list[Row]:
    guarded = live(server, seconds, guard=True)
    rows = []
    for peer, life in (
        ("bare", live(server, seconds)),
        (server.remedy[0], live(server, seconds, remedy=True)),
    ):
        rows += _compared(name, guarded, peer, life)
    for trouble, act in {} if quick else _TROUBLES.items():
        rates = _BURSTS if trouble == "bursts" else _RATES
        life = live(server, seconds, guard=True, act=act, rates=rates)
        rows += _compared(f"{name}, {trouble}", life)
    return rows


def _compared(
    name: str, ours: Life, peer: str | None = None, theirs: Life | None = None
) -> list[Row]:
    def row(
        what: str, unit: str, of: Callable[[Life], float], most: float | None = None
    ) -> Row:
        ours_is = of(ours)
        met = None if most is None else ours_is <= most
        budget = "" if most is None else f"<= {most:g} {unit}"
        their = of(theirs) if theirs is not None else None
        return Row(f"{name}: {what}", ours_is, unit, peer, their, budget, met)

    return [
        row("killed for memory", "times", lambda life: life.kills, 0),
        row("critical, not 200", "%", lambda life: 100 * (1 - life.share("200")), 1),
        row("reset, cut or silent", "requests", lambda life: life.broken, 0),
        row("other requests, not 200", "%", _others_lost),
        row("highest use", "% of the limit", lambda life: 100 * life.peak_ratio),
    ]


def _others_lost(life: Life) -> float:
    others = {k: n for k, n in life.answers.items() if k[0] not in _CRITICAL}
    good = sum(n for (_, status), n in others.items() if status == "200")
    return 100 * (1 - good / max(1, sum(others.values())))


def live(  # noqa: PLR0913 - what differs from life to life
    server: Server,
    seconds: float,
    *,
    guard: bool = False,
    remedy: bool = False,
    act: Callable[[Path, float], None] | None = None,
    rates: dict[str, float] = _RATES,
) -> Life:
    """Let a server live under load in a group of its own."""
    with _group() as group, _serving(server, group, guard=guard, remedy=remedy) as port:
        load = Load(port, rates)
        peak = 0.0
        while load.seconds < seconds:
            time.sleep(0.2)
            peak = max(peak, _used_ratio(group))
            if act is not None:
                act(group, load.seconds)
        if act is not None:
            act(group, math.inf)  # nobody stays stopped
        load.end()
        kills = int(_read(group, "memory.oom_control").split()[-1])
    return Life(kills, load.answers, peak)


class Load:
    """Clients that ask at a steady rate, whatever becomes of the answers."""

    def __init__(self, port: int, rates: dict[str, float]) -> None:
        self._port, self._over = port, threading.Event()
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self.answers: Counter[tuple[str, str]] = Counter()
        self._threads = [
            threading.Thread(target=self._ask, args=(path, rate, client))
            for path, rate in rates.items()
            for client in range(_CLIENTS_PER_PATH)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self._started

    def end(self) -> None:
        """Ask no more, and wait for the last answers."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, path: str, rate: float, number: int) -> None:
        while not self._over.wait(number / rate - self.seconds):
            answer = self._answer(path)
            with self._lock:
                self.answers[path, answer] += 1
            number += _CLIENTS_PER_PATH

    def _answer(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
        except TimeoutError:
            return "silence"
        except (OSError, http.client.HTTPException):
            return "reset"
        try:
            response.read()
        except (OSError, http.client.HTTPException):
            return "cut"
        finally:
            connection.close()
        return str(response.status)


def _stop_a_worker() -> Callable[[Path, float], None]:
    """Return what stops one of the workers for a while, every half a minute."""
    stopped: dict[int, float] = {}

    def act(group: Path, seconds: float) -> None:
        for pid, until in list(stopped.items()):
            if seconds > until:
                del stopped[pid]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        if not stopped and 25 < seconds % 30 < 26:
            pid = int(_read(group, "cgroup.procs").split()[-1])
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            stopped[pid] = seconds + _STOPPED_SECONDS

    return act


def _lower_the_limit(group: Path, seconds: float) -> None:
    if seconds > 45 and int(_read(group, "memory.limit_in_bytes")) > LOWERED_BYTES:
        with contextlib.suppress(OSError):  # busy: again at the next look
            _write(group, "memory.limit_in_bytes", LOWERED_BYTES)


_TROUBLES: dict[str, Callable[[Path, float], None] | None] = {
    "bursts": None,
    "a sibling stopped": _stop_a_worker(),
    "the limit lowered": _lower_the_limit,
}


@contextlib.contextmanager
def _group() -> Iterator[Path]:
    group = _MEMORY / f"leakguard-survival-{os.getpid()}-{time.monotonic_ns()}"
    group.mkdir()
    _write(group, "memory.limit_in_bytes", LIMIT_BYTES)
    try:
        yield group
    finally:
        while pids := _read(group, "cgroup.procs").split():
            for pid in map(int, pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        _remove(group)


def _remove(group: Path) -> None:
    for _ in range(50):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)


@contextlib.contextmanager
def _serving(
    server: Server, group: Path, *, guard: bool, remedy: bool
) -> Iterator[int]:
    port = _free_port()
    words = [word.format(port=port) for word in server.command]
    if remedy:
        words += server.remedy
    join = f'echo $$ > {group}/cgroup.procs && exec {sys.executable} -m "$@"'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if guard:
        environment["SURVIVAL_GUARD"] = "1"
    process = subprocess.Popen(
        ["sh", "-c", join, "sh", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("SURVIVAL_LOG") else subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.1)
    raise SystemExit(f"the server does not answer after {_START_SECONDS:.0f} s")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _used_ratio(group: Path) -> float:
    used, limit = (
        int(_read(group, f"memory.{name}_in_bytes")) for name in ("usage", "limit")
    )
    return used / limit


def _read(group: Path, name: str) -> str:
    return (group / name).read_text("ascii")


def _write(group: Path, name: str, value: int) -> None:
    """Write and close: the kernel's refusal would be lost with an unclosed file."""
    descriptor = os.open(group / name, os.O_WRONLY)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main(NAME, BUDGET, run)
