"""Puts findings into a report, with the program, the time and the memory around."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from leakguard import __version__
from leakguard._core.records import Ledger, Memory, Program, Report
from leakguard._readers.process import read_counters

if TYPE_CHECKING:
    from leakguard._core.records import Acquittal, Cost, Mode, Suspect, Verdict


def build_report(  # noqa: PLR0913 - a report, part by part
    mode: Mode,
    verdict: Verdict,
    suspects: tuple[Suspect, ...],
    acquitted: tuple[Acquittal, ...],
    cost: Cost,
    *,
    memory: Memory | None = None,
) -> Report:
    """Return the findings as a report of this process at this moment.

    ``memory`` defaults to the little that is read here.
    """
    return Report(
        created_at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        program=Program(
            argv0=sys.argv[0] if sys.argv else "",
            pid=os.getpid(),
            python=".".join(map(str, sys.version_info[:3])),
            leakguard=__version__,
            mode=mode,
        ),
        verdict=verdict,
        memory=memory or _memory_now(),
        suspects=suspects,
        cost=cost,
        acquitted=acquitted,
    )


def _memory_now() -> Memory:
    counters = read_counters()
    return Memory(
        rss_bytes=counters.rss_bytes,
        ledger=Ledger(native_bytes=counters.heap_bytes),
    )
