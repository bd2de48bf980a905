"""The assertions for ``unittest``: a mixin, and a test case that has it."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, Any

from leakguard.testing import DEFAULT_PER_CALL, assert_no_growth, assert_released

if TYPE_CHECKING:
    from collections.abc import Callable


class LeakAssertions:
    """``assertNoGrowth`` and ``assertReleases`` for any ``unittest.TestCase``."""

    def assertNoGrowth(  # noqa: N802 - as unittest names its assertions
        self,
        work: Callable[..., Any],
        per_call: int | str = DEFAULT_PER_CALL,
        *,
        calls: int | None = None,
        warmup: int | None = None,
        seconds: float = 1.0,
    ) -> None:
        """Fail if each call of ``work`` keeps memory; see ``assert_no_growth``."""
        __tracebackhide__ = True
        assert_no_growth(work, per_call, calls=calls, warmup=warmup, seconds=seconds)

    def assertReleases(  # noqa: N802 - as above
        self, factory: Callable[[], Any], *, seconds: float = 1.0
    ) -> None:
        """Fail if what ``factory()`` makes lives on; see ``assert_released``."""
        __tracebackhide__ = True
        assert_released(factory, seconds=seconds)


class LeakTestCase(LeakAssertions, unittest.TestCase):
    """A ``TestCase`` with the assertions about leaks."""
