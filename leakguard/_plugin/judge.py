"""One test's judgement: growth per call, what is left behind, what is known of it."""

from __future__ import annotations

import re
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from leakguard._core.foreign import is_of_tools
from leakguard._core.records import GUILTY, Site
from leakguard._plugin import settings
from leakguard._plugin.baseline import Baseline
from leakguard._plugin.finding import Finding, finding_of
from leakguard._plugin.repeat import repeater
from leakguard._readers.source import SourceMap
from leakguard._runtime.trial import WARM_UP_CALLS, try_work
from leakguard._runtime.work import Work, WorkFailed
from leakguard.reports import render
from leakguard.testing import LeakError, failure_text, report_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from leakguard._core.records import Report
    from leakguard._plugin.finding import Outcome
    from leakguard._plugin.marks import Asked, KnownLeak, LimitGrowth, NoLeaks
    from leakguard._runtime.trial import Trial

_SLUG = re.compile(r"[^A-Za-z0-9_.-]+")
_SLUG_CHARACTERS = 120


class Judge:
    """Judges the tests of a session; knows the baseline and where reports go."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the baseline, if there is one."""
        self._directory = settings.directory(config)
        self._root = config.rootpath
        path = settings.baseline(config)
        updates = bool(config.getoption("--leakguard-update-baseline"))
        self._baseline = Baseline.read(path) if path and not updates else Baseline()
        self._records = updates

    def judge(self, item: pytest.Function, asked: Asked) -> None:
        """Run the test again as it is asked, and raise what that finds.

        Raises:
            LeakError: it leaks, and that is neither known nor suppressed.

        """
        if asked.growth is not None:
            self._growth(item, asked.growth, asked.known)
        if asked.leftovers is not None:
            self._leftovers(item, asked.leftovers, asked.known)

    def _growth(
        self, item: pytest.Function, asked: LimitGrowth, known: KnownLeak | None
    ) -> None:
        trial = _tried(item, repeater(item, asked.per), asked)
        kind = trial.found.verdict.kind
        if not trial.fails:
            outcome: Outcome = "undecided" if kind == "unknown" else "steady"
            if known and outcome == "steady":
                outcome = "mended"
            if outcome != "steady":
                self._note(item, finding_of(outcome, report_of(trial), trial.calls))
            return
        report = report_of(trial)
        if report.verdict.kind not in GUILTY:  # what grows is suppressed
            self._note(item, finding_of("known", report, trial.calls))
            return
        found = finding_of("leak", report, trial.calls)
        limit = asked.limit_bytes_per_call
        text = failure_text(report, limit).replace("work grows", "the test grows", 1)
        self._failed(item, found, report, text, known)

    def _leftovers(
        self, item: pytest.Function, asked: NoLeaks, known: KnownLeak | None
    ) -> None:
        from leakguard._plugin.leftovers import report_on
        from leakguard._runtime.leftovers import left_behind

        left = left_behind(
            repeater(item, "test"),
            kinds=asked.kinds,
            ignore=asked.ignore,
            runs=asked.runs,
        )
        if not left:
            if known:
                self._note(item, Finding("mended"))
            return
        line = (item.location[1] or 0) + 1
        site = Site(str(item.path), line, item.originalname, in_app=True)
        report = report_on(left, asked.runs, site)
        found = finding_of("leak", report, asked.runs)
        text = f"{report.verdict.reason}\n\n{render(report, 'text')}"
        self._failed(item, found, report, text, known)

    def _failed(
        self,
        item: pytest.Function,
        found: Finding,
        report: Report,
        text: str,
        known: KnownLeak | None,
    ) -> None:
        saved = self._save(item, report)
        found = replace(found, report=saved)
        rate = found.bytes_per_call
        if known is not None and _covers(known.limit_bytes_per_call, rate):
            self._note(item, replace(found, outcome="known", reason=known.reason))
            return
        if self._records or self._baseline.covers(item.nodeid, found):
            reason = "it is in the baseline"
            self._note(item, replace(found, outcome="known", reason=reason))
            return
        self._note(item, found)
        raise LeakError(text, report)

    def _note(self, item: pytest.Function, found: Finding) -> None:
        item.user_properties.extend(found.properties)

    def _save(self, item: pytest.Function, report: Report) -> str | None:
        if self._directory is None:
            return None
        name = _SLUG.sub("-", item.nodeid).strip("-")[-_SLUG_CHARACTERS:]
        path = self._directory / f"{name}.json"
        self._directory.mkdir(parents=True, exist_ok=True)
        path.write_text(render(report, "json") + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(
            render(report, "markdown") + "\n", encoding="utf-8"
        )
        return str(path)


def _covers(limit_bytes: float | None, rate: float | None) -> bool:
    return limit_bytes is None or rate is None or rate <= limit_bytes


def _tried(
    item: pytest.Function, work: Callable[[], None], asked: LimitGrowth
) -> Trial:
    with closing(Work(work, time.perf_counter)) as subject:
        try:
            return try_work(
                subject,
                SourceMap(str(item.path.parent)),
                allowed_bytes_per_call=asked.limit_bytes_per_call,
                calls=asked.calls,
                warm_up=WARM_UP_CALLS if asked.warmup is None else asked.warmup,
                seconds=asked.seconds,
                kinds=asked.kinds,
                is_foreign=is_of_tools,
            )
        except WorkFailed as failed:
            note = (
                f"The test passed once and failed when it was called again (call "
                f"{failed.call + 2}): it cannot be repeated as it is."
            )
            item.add_report_section("call", "leakguard", note)
            raise failed.__cause__ or failed from None
