"""A guard in a real server under real load and a real limit comes to the right verdict.

Real time passes here, a minute and more, for what is tested is how soon it is known.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leakguard
from tests.kernel_groups import MIB, REPOSITORY, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard import Report

SERVER = Path(__file__).with_name("guarded_server.py")
LIMIT_BYTES = 512 * MIB
CLIENTS, REQUESTS_PER_SECOND = 4, 100
LOAD_CLIENTS, LOAD_PERIOD_SECONDS = 16, 10.0
POLL_SECONDS = 2.0
#: What a busy machine adds to the minute that is promised.
PATIENCE = 1.5

pytestmark = [pytest.mark.zoo, pytest.mark.slow, pytest.mark.privileged]


def steadily(_seconds: float) -> bool:
    return True


def every_other_while(seconds: float) -> bool:
    return seconds % LOAD_PERIOD_SECONDS < LOAD_PERIOD_SECONDS / 2


class Clients:
    """Threads that each keep a connection and ask at a steady rate, if they are to."""

    def __init__(
        self, port: int, count: int, rate: float, asks: Callable[[float], bool]
    ) -> None:
        self._port, self._count, self._rate, self._asks = port, count, rate, asks
        self._over = threading.Event()
        self.failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(client,))
            for client in range(count)
        ]
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        number = client
        try:
            while not self._over.wait(number / self._rate - self.seconds):
                if self._asks(self.seconds):
                    connection.request("GET", f"/{number}")
                    connection.getresponse().read()
                number += self._count
        except Exception as error:  # noqa: BLE001 - told by the test
            self.failures.append(error)
        finally:
            connection.close()


@contextmanager
def serving(kind: str, group: Path) -> Iterator[int]:
    """Run the server in a group and return its port."""
    write(group / "memory.limit_in_bytes", LIMIT_BYTES)
    server = subprocess.Popen(
        [sys.executable, SERVER, REPOSITORY, kind, group],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server:
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()


def watched(
    port: int, clients: Clients, is_over: Callable[[Report], bool], seconds: float
) -> Report:
    """Return the first report that is the last one to look at, or that of the end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while True:
        time.sleep(POLL_SECONDS)
        connection.request("GET", "/report")
        report = leakguard.load(StringIO(connection.getresponse().read().decode()))
        if is_over(report) or clients.seconds > seconds:
            connection.close()
            return report


def lived(
    kind: str,
    group: Path,
    is_over: Callable[[Report], bool],
    seconds: float,
    *load: float,
    asks: Callable[[float], bool] = steadily,
) -> tuple[Report, float]:
    """Return what was said in the end, and after how many seconds."""
    with serving(kind, group) as port:
        clients = Clients(port, *map(int, load), asks)
        try:
            report = watched(port, clients, is_over, seconds)
        finally:
            after = clients.seconds
            clients.end()
    assert clients.failures == []
    return report, after


def test_a_leak_is_named_within_a_minute_and_the_budget(group: Path) -> None:
    report, seconds = lived(
        "leak",
        group,
        lambda report: report.verdict.kind == "leak" and bool(report.suspects),
        60 * PATIENCE,
        *(CLIENTS, REQUESTS_PER_SECOND),
    )
    assert report.verdict.kind == "leak", report.verdict.reason
    site = report.suspects[0].site
    assert site is not None
    assert (site.function, site.file.endswith(SERVER.name)) == ("leak", True)
    assert report.suspects[0].growth_bytes_per_call == pytest.approx(1_060, rel=0.25)
    assert report.memory.limit_bytes == LIMIT_BYTES
    assert (report.cost.overhead_ratio or 0) <= 0.05
    assert seconds <= 60 * PATIENCE


def test_a_cache_that_is_full_is_a_cache(group: Path) -> None:
    report, _ = lived(
        "cache",
        group,
        lambda report: report.verdict.kind == "cache",
        120 * PATIENCE,
        *(CLIENTS, REQUESTS_PER_SECOND),
    )
    assert report.verdict.kind == "cache", report.verdict.reason


def test_load_that_comes_and_goes_is_no_leak(group: Path) -> None:
    report, _ = lived(
        "load",
        group,
        lambda report: report.verdict.kind in {"load", "leak"},
        45,  # verdicts come after 10 s and 30 s
        *(LOAD_CLIENTS, 4 * LOAD_CLIENTS),
        asks=every_other_while,
    )
    assert report.verdict.kind in {"load", "steady"}, report.verdict.reason
