"""The shop at its memory limit, bare and then guarded: killed, or selective.

Each life is a process of its own, in a control group made for it where the machine
allows that, else under an RLIMIT.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import leakguard
from leakguard._core.cgroups import parse_mounts
from leakguard._core.units import format_bytes
from leakguard.cli.demo.limited import FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADROOM_BYTES = 24 << 20
NOTE_BYTES = 16_000
#: A bare life is over sooner; a guarded one lasts twice as long as it.
MOST_SECONDS, LEAST_SECONDS = 30.0, 6.0
PAUSE_SECONDS = 0.004
_ORDER, _PRICE = "orders", "prices"
_TIMEOUT_SECONDS = 10.0
_OK, _REFUSED = 200, 503


@dataclass(slots=True)
class Life:
    """How a shop has lived: what was answered, and how it ended."""

    limit_bytes: int = 0
    seconds: float = 0.0
    exit_code: int | None = None
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def is_alive(self) -> bool:
        """Whether it was still there, and none of its answers was an error."""
        errors = set(self.answers) - {
            (_ORDER, _OK),
            (_ORDER, _REFUSED),
            (_PRICE, _OK),
        }
        return self.exit_code is None and not errors


def survives(source: Path) -> tuple[bool, list[str]]:
    """Let the shop live bare and then guarded; return whether the guarded one did.

    And what there is to tell. Cost: some twenty seconds.
    """
    with _group() as group:
        if group is None and not Path("/proc/self/statm").exists():
            return True, ["Its life at a memory limit is not shown: unsupported here."]
        bare = live(source, group, "bare", MOST_SECONDS)
    with _group() as group:
        seconds = max(LEAST_SECONDS, 2 * bare.seconds)
        guarded = live(source, group, "guarded", seconds)
    kind = "an RLIMIT (no control group can be made here)"
    if group is not None:
        kind = "a control group's limit"
    return guarded.is_alive, [
        f"And under {kind}, {format_bytes(HEADROOM_BYTES)} above what it starts with:",
        f"  bare     {_told(bare)}",
        f"  guarded  {_told(guarded)}",
    ]


def live(source: Path, group: Path | None, how: str, seconds: float) -> Life:
    """Let the shop live under its limit, visited for so long or until it is killed."""
    command = [sys.executable, "-m", f"{__package__}.limited", str(source)]
    command += [str(group or "-"), str(HEADROOM_BYTES), how]
    child = subprocess.Popen(  # noqa: S603 - this interpreter, with our own words
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": _path()},
        text=True,
    )
    life = Life()
    with child:
        line = child.stdout.readline() if child.stdout is not None else ""
        port, _, limit_bytes = line.partition(" ")
        if limit_bytes:
            life.limit_bytes = int(limit_bytes)
            _visit(life, int(port), seconds)
        with contextlib.suppress(subprocess.TimeoutExpired):
            life.exit_code = child.wait(0.5)
        child.kill()
    return life


def _visit(life: Life, port: int, seconds: float) -> None:
    """Order and ask for prices, on a new connection if the last one has broken."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    with contextlib.closing(connection), contextlib.suppress(OSError, _Broken):
        for number in range(10**9):
            note = f"order {number}".ljust(NOTE_BYTES)
            body = json.dumps({"note": note})
            life.answers[_ORDER, _ask(connection, f"/order/{number % 8}", body)] += 1
            life.answers[_PRICE, _ask(connection, f"/price/{number % 64}")] += 1
            life.seconds = time.monotonic() - started
            if life.seconds > seconds:
                return
            time.sleep(PAUSE_SECONDS)


_Broken = http.client.HTTPException


def _ask(
    connection: http.client.HTTPConnection, path: str, body: str | None = None
) -> int:
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request("POST" if body else "GET", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _told(life: Life) -> str:
    taken, refused = life.answers[_ORDER, _OK], life.answers[_ORDER, _REFUSED]
    orders = f"{taken} orders taken, {refused} refused with 503"
    prices = sum(n for (what, _), n in life.answers.items() if what == _PRICE)
    answered = f"{life.answers[_PRICE, _OK]} of {prices} prices answered"
    if life.exit_code is not None:
        status = life.exit_code if life.exit_code >= 0 else 128 - life.exit_code
        end = f"dead after {life.seconds:.0f} s (exit {status})"
    else:
        end = f"alive after {life.seconds:.0f} s"
    return f"{end}: {orders}, {answered}"


def _path() -> str:
    """Return where the child finds leakguard, whatever this one was started by."""
    home = str(Path(leakguard.__file__).parents[1])
    return os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))


@contextlib.contextmanager
def _group() -> Iterator[Path | None]:
    """Make a control group whose memory can be limited; ``None`` if there is none."""
    group = _made_group()
    try:
        yield group
    finally:
        if group is not None:
            _remove(group)


def _made_group() -> Path | None:
    try:
        mounts = parse_mounts(Path("/proc/self/mountinfo").read_text("utf-8"))
    except OSError:
        return None
    name = f"leakguard-demo-{os.getpid()}"
    for mount in mounts:
        group = Path(mount.mount_point, name)
        with contextlib.suppress(OSError):
            group.mkdir()
            if any((group / limit).exists() for limit, _ in FILES):
                return group
            group.rmdir()
    return None


def _remove(group: Path) -> None:
    for _ in range(50):  # the kernel takes a moment to forget a process
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
