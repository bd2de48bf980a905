"""The face for tests and scripts: diagnose a piece of work, or assert it is clean."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakguard._core.records import LeakguardError
from leakguard._core.resources import with_retained
from leakguard._core.units import format_bytes, parse_bytes, parse_seconds
from leakguard._readers.config import read_config
from leakguard._readers.source import SourceMap
from leakguard._runtime.diagnosis import diagnose_work
from leakguard._runtime.monitor import process
from leakguard._runtime.reporting import build_report
from leakguard._runtime.resources import Looks
from leakguard._runtime.work import WorkFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._core.records import Report

__all__ = ["LeakError", "WorkFailed", "assert_no_growth", "diagnose"]

#: tracemalloc's own limit.
MOST_FRAMES = 65_535
#: Verdicts under which an assertion fails.
_GUILTY = ("leak", "native-leak")


class LeakError(AssertionError):
    """Work was asserted not to grow and does; ``report`` is the whole finding."""

    def __init__(self, message: str, report: Report) -> None:
        """Carry the report beside its text."""
        super().__init__(message)
        self.report = report


def diagnose(  # noqa: PLR0913 - one call, its options spelled out
    work: Callable[..., Any],
    calls: int | None = None,
    nframe: int | None = None,
    *,
    seconds: float = 40.0,
    pause: float | str = "250 ms",
    app_root: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Run ``work()`` (or ``work(i)``) repeatedly and say whether and where it leaks.

    ``work`` is one unit of work, sync or ``async def``; it is called from a few dozen
    times to many thousands, until the growth is clear. ``calls`` fixes the number of
    calls; ``seconds`` bounds the time; ``nframe`` is the depth of the stacks; ``pause``
    (``"50 ms"``, or seconds) is how long a step of the search for who holds the growth
    may stop other threads: the shorter, the less it may find in a large heap;
    ``app_root`` is a directory whose files are the application's (default: the
    directory of ``work``). What ``leakguard.instrument`` counts is among the suspects
    when it grows with the calls. Everything is restored afterwards; a tracemalloc that
    already runs is used and left running.

    Suspects that ``leakguard.toml`` suppresses stand apart in the report.

    Raises:
        WorkFailed: ``work`` raised; the original is the ``__cause__``.
        LeakguardError: an argument or ``leakguard.toml`` makes no sense.

    Cost: the work runs three to ten times slower while traced.
    """
    if not callable(work):  # for callers without a type checker
        message = f"diagnose() needs a callable, not {type(work).__name__}"  # type: ignore[unreachable]
        raise LeakguardError(message)
    if calls is not None and calls < 1:
        message = f"calls must be at least 1, not {calls}"
        raise LeakguardError(message)
    if nframe is not None and not 1 <= nframe <= MOST_FRAMES:
        message = f"nframe must lie between 1 and {MOST_FRAMES}, not {nframe}"
        raise LeakguardError(message)
    config = read_config()
    sources = SourceMap(app_root or _directory_of(work))
    held = Looks(process().retention.book)
    diagnosis = diagnose_work(
        work,
        sources,
        calls=calls,
        nframe=nframe,
        seconds=seconds,
        pause_seconds=parse_seconds(pause),
        progress=progress,
        looked=held.look,
    )
    found = diagnosis.found
    suspects = with_retained(found.suspects, held.suspects(sources.names()))
    return build_report(
        "diagnose",
        found.verdict,
        suspects,
        found.acquitted,
        diagnosis.cost,
        config=config,
    )


def assert_no_growth(
    work: Callable[..., Any],
    per_call: int | str = "64 B",
    *,
    seconds: float = 10.0,
    retries: int = 1,
) -> None:
    """Fail unless ``work`` stays below ``per_call`` bytes of growth per call.

    Warm-ups and caches that fill are no growth; a finding is confirmed ``retries``
    times before it counts. What ``leakguard.toml`` suppresses does not.

    Raises:
        LeakError: it grows; the text names the suspects, ``.report`` is the document.
        WorkFailed: ``work`` raised.

    """
    allowed = parse_bytes(per_call)
    for attempt in range(retries + 1):
        report = diagnose(work, seconds=seconds)
        rate = report.verdict.growth_bytes_per_call or 0.0
        if report.verdict.kind not in _GUILTY or rate <= allowed:
            return
        if attempt == retries:
            raise LeakError(_failure_text(report, allowed), report)


def _failure_text(report: Report, allowed: int) -> str:
    from leakguard.reports import render

    limit = format_bytes(allowed)
    return f"work grows by more than {limit} per call\n\n{render(report, 'text')}"


def _directory_of(work: Callable[..., Any]) -> str | None:
    """Return the directory of the work's source, past its decorators."""
    plain = inspect.unwrap(work)
    code = getattr(getattr(plain, "__func__", plain), "__code__", None)
    file: str | None = getattr(code, "co_filename", None)
    if not file or file.startswith("<"):
        return None
    return str(Path(file).absolute().parent)
