"""Puts findings into a report, with the program, the time and the memory around."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from leakguard import __version__
from leakguard._core.pressure import pressure_of
from leakguard._core.records import Memory, Program, Report
from leakguard._core.samples import Limit
from leakguard._core.suppressions import sift
from leakguard._readers.config import NO_CONFIG
from leakguard._readers.ledger import read_ledger
from leakguard._readers.limits import MemoryReader

if TYPE_CHECKING:
    from leakguard._core.ledger import LedgerReading
    from leakguard._core.pressure import Pressure
    from leakguard._core.records import Acquittal, Cost, Mode, Suspect, Verdict
    from leakguard._core.samples import Reading
    from leakguard._readers.config import Config


def build_report(  # noqa: PLR0913 - a report, part by part
    mode: Mode,
    verdict: Verdict,
    suspects: tuple[Suspect, ...],
    acquitted: tuple[Acquittal, ...],
    cost: Cost,
    *,
    memory: Memory | None = None,
    config: Config = NO_CONFIG,
) -> Report:
    """Return the findings as a report of this process at this moment.

    ``memory`` defaults to a reading made here, of 3 to 20 ms. What ``config``
    suppresses stands apart.
    """
    created_at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    left = sift(verdict, suspects, config.suppressions, created_at[:10])
    trouble = (config.trouble,) if config.trouble else ()
    return Report(
        created_at=created_at,
        program=Program(
            argv0=sys.argv[0] if sys.argv else "",
            pid=os.getpid(),
            python=".".join(map(str, sys.version_info[:3])),
            leakguard=__version__,
            mode=mode,
        ),
        verdict=left.verdict,
        memory=memory or _memory_now(),
        suspects=left.suspects,
        cost=cost,
        acquitted=acquitted,
        suppressed=left.suppressed,
        notes=(*left.notes, *trouble),
    )


def memory_of(reading: Reading, pressure: Pressure, ledger: LedgerReading) -> Memory:
    """Return what was read of the memory as a part of a report."""
    limit = reading.limit if isinstance(reading.limit, Limit) else None
    unreclaimable = reading.unreclaimable_bytes
    if unreclaimable is None:
        unreclaimable = pressure.unreclaimable_bytes
    if pressure.limit_bytes is not None:
        limit = Limit(pressure.limit_bytes, pressure.source)
    return Memory(
        limit_bytes=limit.limit_bytes if limit else None,
        limit_source=limit.source if limit else None,
        usage_bytes=reading.usage_bytes,
        working_set_bytes=reading.working_set_bytes,
        unreclaimable_bytes=unreclaimable,
        rss_bytes=ledger.rss_bytes,
        ledger=ledger.ledger,
        remainder_bytes=ledger.remainder_bytes,
        threads=ledger.threads,
        open_files=ledger.open_files,
        child_processes=ledger.children,
        children_rss_bytes=ledger.children_rss_bytes,
        unseen=ledger.unseen,
    )


def _memory_now() -> Memory:
    reader = MemoryReader()
    try:
        reading = reader.read()
    finally:
        reader.close()
    ledger = read_ledger()
    return memory_of(reading, pressure_of(reading, rss_bytes=ledger.rss_bytes), ledger)
