"""``--leakguard``: how much memory each test of a session leaves behind.

Rules of this file: no test may notice. Nothing is frozen, and a full collection is
made only after a test that seems to have left much, and never for more than a small
share of the session. What took the place of older blocks is no growth.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from leakguard._core.units import format_bytes
from leakguard._plugin.finding import Finding
from leakguard._readers.source import SourceMap
from leakguard._readers.tracing import SkipFrames, read_traces, traced_bytes
from leakguard._runtime import fence

if TYPE_CHECKING:
    from collections.abc import Generator

    from leakguard._core.traces import Traces

#: What a test leaves is listed from this size on.
LISTED_BYTES = 64 * 1024
#: Share of the session that collections may take.
COLLECTING_SHARE = 0.1
#: What pytest and the tools beside it keep of each test is theirs.
_SKIP = SkipFrames(
    exclude=("*/_pytest/*", "*/pluggy/*", "*/coverage/*", "*/xdist/*", "*/execnet/*")
)
#: Blocks from which on their counter is a witness, and the share it must have seen.
_WITNESSED_BLOCKS, _WITNESSED_SHARE = 200, 0.25
_TOLD_LINES = 3


class Watch:
    """The hooks of a watched session."""

    def __init__(self, config: pytest.Config) -> None:
        """Start nothing yet. The controller of xdist's workers runs no test."""
        self._runs_tests = not config.getoption("numprocesses", None)
        self._sources = SourceMap(str(config.rootpath))
        self._begun = time.perf_counter()
        self._collecting_seconds = 0.0
        self._blocks: int | None = None

    def pytest_sessionstart(self) -> None:
        """Trace from here on, unless somebody else does: it could not be told apart."""
        if self._runs_tests and not tracemalloc.is_tracing():
            self._runs_tests = fence.start_tracing(1) is True
        else:
            self._runs_tests = False

    def pytest_collection_finish(self) -> None:
        """Let go of what the start left, or a test's collection would free it."""
        if self._runs_tests:
            gc.collect()

    def pytest_sessionfinish(self) -> None:
        """Stop what was started."""
        if self._runs_tests:
            fence.stop_tracing()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """Forget what was allocated before the test."""
        if self._runs_tests and tracemalloc.is_tracing():
            tracemalloc.clear_traces()
            self._blocks = sys.getallocatedblocks()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item
    ) -> Generator[None, object, object]:
        """Say what is left of the test when all has been torn down."""
        result = yield
        if self._blocks is not None and tracemalloc.is_tracing():
            found = self._left(self._blocks)
            if found is not None:
                item.user_properties.extend(found.properties)
        self._blocks = None
        return result

    def _left(self, blocks: int) -> Finding | None:
        if traced_bytes() < LISTED_BYTES:
            return None
        net = sys.getallocatedblocks() - blocks  # a collection frees older ones, too
        traces = read_traces(1, _SKIP)
        born = traces.total_count
        if born > _WITNESSED_BLOCKS and net < born * _WITNESSED_SHARE:
            return None
        if self._collect():
            traces = read_traces(1, _SKIP)
        kept = traces.total_bytes
        return None if kept < LISTED_BYTES else self._told(kept, traces)

    def _collect(self) -> bool:
        """Collect if that is within its share; return whether."""
        started = time.perf_counter()
        if self._collecting_seconds > (started - self._begun) * COLLECTING_SHARE:
            return False
        gc.collect()
        self._collecting_seconds += time.perf_counter() - started
        return True

    def _told(self, kept_bytes: int, traces: Traces) -> Finding:
        """Name the lines that kept most, and the application's first."""
        sites = sorted(traces.by_frame().items(), key=lambda site: -site[1][0])
        lines = ", ".join(
            f"{format_bytes(size)} at {self._sources.relative(file)}:{line}"
            for (file, line), (size, _) in sites[:_TOLD_LINES]
        )
        ours = [frame for frame, _ in sites if self._sources.in_app(frame[0])]
        file, line = next(iter(ours), (None, None))
        return Finding(
            "grew", lines, bytes_per_call=float(kept_bytes), file=file, line=line
        )
