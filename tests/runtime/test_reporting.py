"""A report of this process at this moment."""

from __future__ import annotations

import os
import platform
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import leakguard
from leakguard._core.records import Acquittal, Cost, Verdict
from leakguard._runtime.reporting import build_report

if TYPE_CHECKING:
    import pytest

VERDICT = Verdict("steady", 0.9, "Nothing grew.")
COST = Cost(0.01, 0.002, 3, 1.5)


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
