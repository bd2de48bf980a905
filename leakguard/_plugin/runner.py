"""Runs what the markers ask for, after a test has passed once in the usual way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from leakguard._plugin.marks import Asked, asked_of
from leakguard.testing import LeakError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

_ASKED = pytest.StashKey[Asked]()


class Runner:
    """The hooks of a session in which some test is to be judged."""

    def __init__(self, config: pytest.Config, items: Sequence[pytest.Item]) -> None:
        """Read the markers of all tests; what makes no sense ends the session."""
        from leakguard._plugin.judge import Judge

        self._judge = Judge(config)
        for item in items:
            asked = asked_of(item)
            if asked.growth or asked.leftovers:
                item.stash[_ASKED] = asked

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge a test that has passed and is not going to be reported as failed."""
        result = yield
        asked = item.stash.get(_ASKED, None)
        failed = getattr(item, "_excinfo", None)
        if asked is not None and not failed and isinstance(item, pytest.Function):
            self._judge.judge(item, asked)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Show a leak by its report, without the traceback of our own code."""
        report = yield
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, LeakError) and report.failed:
            report.longrepr = str(error)
        return report
