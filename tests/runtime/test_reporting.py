"""A report of this process at this moment."""

from __future__ import annotations

import os
import platform
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import leakguard
from leakguard._core.ledger import LedgerReading
from leakguard._core.pressure import Pressure
from leakguard._core.records import Acquittal, Cost, Ledger, Unknown, Verdict
from leakguard._core.samples import Limit, Reading
from leakguard._runtime.reporting import build_report, memory_of

if TYPE_CHECKING:
    import pytest

VERDICT = Verdict("steady", 0.9, "Nothing grew.")
COST = Cost(0.01, 0.002, 3, 1.5)
GROUP = Limit(6_000, "cgroup2 /app memory.max")


def test_a_report_tells_of_the_program_and_the_moment() -> None:
    report = build_report("run", VERDICT, (), (), COST)
    assert report.program.pid == os.getpid()
    assert report.program.mode == "run"
    assert report.program.argv0 == sys.argv[0]
    assert platform.python_version().startswith(report.program.python)
    assert report.program.leakguard == leakguard.__version__
    created = datetime.strptime(report.created_at, "%Y-%m-%dT%H:%M:%S%z")
    age = datetime.now(timezone.utc) - created
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_a_report_carries_the_findings_as_they_are() -> None:
    acquittal = Acquittal(None, "shop.CACHE", 1.0, 4_000, "it is bounded")
    report = build_report("diagnose", VERDICT, (), (acquittal,), COST)
    assert report.verdict is VERDICT
    assert report.acquitted == (acquittal,)
    assert report.suspects == ()
    assert report.cost is COST


def test_a_report_tells_of_the_memory() -> None:
    memory = build_report("run", VERDICT, (), (), COST).memory
    assert memory.rss_bytes is not None
    assert memory.rss_bytes > 1_000_000


def test_a_program_without_arguments_has_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    assert build_report("run", VERDICT, (), (), COST).program.argv0 == ""


def ledger_of(
    ledger: Ledger = Ledger(),  # noqa: B008 - frozen
    *,
    rss: int | None = None,
    unseen: tuple[str, ...] = (),
) -> LedgerReading:
    return LedgerReading(ledger, rss, 1, 4, 9, 2, 300, 200, 5_000, "glibc", unseen)


def test_the_memory_part_is_what_was_read() -> None:
    reading = Reading(
        GROUP, usage_bytes=900, working_set_bytes=800, unreclaimable_bytes=700
    )
    pressure = Pressure(0.9, 4_500, 5_000, "cgroup2 / memory.max")
    ledger = ledger_of(Ledger(python_bytes=5), rss=600, unseen=("The stacks.",))
    memory = memory_of(reading, pressure, ledger)
    assert (memory.limit_bytes, memory.limit_source) == (5_000, "cgroup2 / memory.max")
    assert (memory.usage_bytes, memory.working_set_bytes) == (900, 800)
    assert (memory.unreclaimable_bytes, memory.rss_bytes) == (700, 600)
    assert memory.ledger == Ledger(python_bytes=5)
    assert memory.remainder_bytes == 1
    assert (memory.threads, memory.open_files) == (4, 9)
    assert (memory.child_processes, memory.children_rss_bytes) == (2, 300)
    assert memory.unseen == ("The stacks.",)


def test_a_limit_is_told_even_where_its_usage_is_not_known() -> None:
    pressure = Pressure(None, None, None, "hidden")
    assert memory_of(Reading(GROUP), pressure, ledger_of()).limit_source == GROUP.source


def test_what_is_unknown_stays_unknown() -> None:
    reading = Reading(Unknown("no limit"))
    memory = memory_of(reading, Pressure(None, 7, None, "no limit"), ledger_of())
    assert memory.limit_bytes is memory.limit_source is memory.rss_bytes is None
    assert memory.unreclaimable_bytes == 7
