"""The ``leakguard`` fixture: the assertions, with the project's own limits."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

from leakguard._growth import Growth
from leakguard._plugin import settings
from leakguard._plugin.finding import finding_of
from leakguard.testing import LeakError, assert_no_growth, assert_released

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from leakguard.snapshots import Snapshot


class Leakguard:
    """What the ``leakguard`` fixture is."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        """Read the project's limits; nothing is started."""
        self._request = request
        self._seconds = settings.seconds(request.config)
        limit = settings.limit_of_all(request.config)
        self._limit: int | str = settings.DEFAULT_LIMIT if limit is None else limit

    def check(
        self,
        work: Callable[..., Any],
        per_call: int | str | None = None,
        **options: Any,  # noqa: ANN401 - those of assert_no_growth
    ) -> None:
        """Fail if each call of ``work`` keeps memory; see ``assert_no_growth``."""
        __tracebackhide__ = True
        limit = self._limit if per_call is None else per_call
        options.setdefault("seconds", self._seconds)
        try:
            assert_no_growth(work, limit, **options)
        except LeakError as error:
            if error.report is not None:
                properties = finding_of("leak", error.report).properties
                self._request.node.user_properties.extend(properties)
            raise

    def released(self, factory: Callable[[], Any], *, seconds: float = 1.0) -> None:
        """Fail if what ``factory()`` makes lives on; see ``assert_released``."""
        __tracebackhide__ = True
        assert_released(factory, seconds=seconds)

    def growth(self, limit: int | str | None = None) -> Growth:
        """Return a context manager that measures its block; see ``growth``."""
        return Growth(limit)

    def snapshot(self) -> Snapshot:
        """Take a snapshot; tracing that it starts ends with the test."""
        from leakguard.snapshots import snapshot

        if not tracemalloc.is_tracing():
            from leakguard._runtime.fence import stop_tracing

            self._request.addfinalizer(stop_tracing)
        return snapshot()
