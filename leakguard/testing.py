"""The face for tests and scripts: diagnose a piece of work, or assert it is clean."""

from __future__ import annotations

import gc
import inspect
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakguard._core.belongings import Belongings, Difference
from leakguard._core.records import GUILTY, Cost, LeakguardError
from leakguard._core.resources import with_retained
from leakguard._core.units import format_bytes, parse_bytes, parse_seconds
from leakguard._growth import Growth as growth  # noqa: N813 - it is called
from leakguard._readers.config import read_config
from leakguard._readers.source import SourceMap
from leakguard._runtime.diagnosis import diagnose_work
from leakguard._runtime.monitor import process
from leakguard._runtime.reporting import build_report
from leakguard._runtime.resources import Looks
from leakguard._runtime.trial import WARM_UP_CALLS, try_work
from leakguard._runtime.work import Work, WorkFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._core.records import Report
    from leakguard._runtime.trial import Trial
    from leakguard._testcase import LeakAssertions, LeakTestCase

__all__ = [
    "Check",
    "LeakAssertions",
    "LeakError",
    "LeakTestCase",
    "WorkFailed",
    "assert_no_growth",
    "assert_released",
    "check",
    "diagnose",
    "growth",
]

#: A test may keep less than this in each call: below the smallest object worth losing.
DEFAULT_PER_CALL = "64 B"

#: tracemalloc's own limit.
MOST_FRAMES = 65_535


class LeakError(AssertionError):
    """Work was asserted not to grow and does.

    ``report`` is the whole finding, ``None`` where a block ran just once.
    """

    def __init__(self, message: str, report: Report | None) -> None:
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
    _check(work, calls, nframe)
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


def _check(work: object, calls: int | None, nframe: int | None) -> None:
    if not callable(work):
        message = f"diagnose() needs a callable, not {type(work).__name__}"
        raise LeakguardError(message)
    if calls is not None and calls < 1:
        message = f"calls must be at least 1, not {calls}"
        raise LeakguardError(message)
    if nframe is not None and not 1 <= nframe <= MOST_FRAMES:
        message = f"nframe must lie between 1 and {MOST_FRAMES}, not {nframe}"
        raise LeakguardError(message)


def assert_no_growth(  # noqa: PLR0913 - one assertion, its options spelled out
    work: Callable[..., Any],
    per_call: int | str = DEFAULT_PER_CALL,
    *,
    seconds: float = 1.0,
    retries: int = 1,
    calls: int | None = None,
    warmup: int | None = None,
) -> None:
    """Fail if each call of ``work`` keeps ``per_call`` bytes or more.

    ``work`` is called, after ``warmup`` calls that do not count (3), at growing call
    counts until it is clear: some hundred times, for about ``seconds`` at most, and a
    slow one at least 16 times; ``calls`` fixes the number. Warm-ups and caches that
    fill are no growth; a finding is confirmed ``retries`` times before it counts, but
    not that of one block that is extended: the larger, the more rarely it is moved.
    What ``leakguard.toml`` suppresses does not.
    Where it cannot be decided the assertion holds: ``diagnose`` has the time.

    Raises:
        LeakError: it grows; the text names the suspects, ``.report`` is the document.
        WorkFailed: ``work`` raised.

    """
    allowed = parse_bytes(per_call)
    for attempt in range(retries + 1):
        trial = _tried(work, allowed, seconds, calls, warmup)
        if not trial.fails:
            return
        report = report_of(trial)
        if report.verdict.kind not in GUILTY:  # what grows is suppressed
            return
        is_block = {one.habit for one in report.suspects} == {"growing-buffer"}
        if attempt == retries or is_block:
            raise LeakError(failure_text(report, allowed), report)


def assert_released(factory: Callable[[], Any], *, seconds: float = 1.0) -> None:
    """Fail if what ``factory()`` makes lives on when nobody here holds it any more.

    The object must take weak references. It has ``seconds`` to go, with collections
    meanwhile: a thread or a callback may still have hold of it for a moment.

    Raises:
        LeakError: it lives; the text and ``.report`` tell who holds it, hop by hop.
        LeakguardError: the object cannot be watched.

    """
    from leakguard._runtime.release import kept_after_drop
    from leakguard.reports import render

    started = time.perf_counter()
    kept = kept_after_drop(factory, patience_seconds=seconds)
    if kept is None:
        return
    cost = Cost(None, None, 0, time.perf_counter() - started)
    report = build_report("diagnose", kept.verdict, (kept.suspect,), (), cost)
    raise LeakError(f"{kept.verdict.reason}\n\n{render(report, 'text')}", report)


@dataclass(frozen=True, slots=True)
class Check:
    """What was open and alive at a moment, by name; see ``check``."""

    belongings: Belongings

    def difference(self, before: Check) -> Difference:
        """Return what is here and was not at an earlier check.

        The result is false when there is nothing, has ``left`` as rows and ``of(kind)``
        as counts by name, and reads as a sentence.
        """
        return Difference(self.belongings.left_since(before.belongings))


def check() -> Check:
    """Note what is open and alive now: objects, tasks, threads, files, connections.

        before = leakguard.check()
        ...
        assert not leakguard.check().difference(before)

    Objects are those whose type is neither Python's own nor a test tool's. Cost: a
    full collection and 0.1 µs for each object.
    """
    from leakguard._readers.belongings import read_belongings

    gc.collect()
    return Check(read_belongings())


def report_of(trial: Trial) -> Report:
    """Return what a trial found as a report. Cost: 3 to 20 ms."""
    found = trial.found
    return build_report(
        "diagnose",
        found.verdict,
        found.suspects,
        found.acquitted,
        trial.cost,
        config=read_config(),
    )


def failure_text(report: Report, allowed_bytes_per_call: float) -> str:
    """Return the sentence and the report of an assertion that failed."""
    from leakguard.reports import render

    limit = format_bytes(allowed_bytes_per_call)
    return f"work grows by more than {limit} per call\n\n{render(report, 'text')}"


def _tried(
    work: Callable[..., Any],
    allowed_bytes: int,
    seconds: float,
    calls: int | None,
    warmup: int | None,
) -> Trial:
    with closing(Work(work, time.perf_counter)) as subject:
        return try_work(
            subject,
            SourceMap(_directory_of(work)),
            allowed_bytes_per_call=allowed_bytes,
            calls=calls,
            warm_up=WARM_UP_CALLS if warmup is None else warmup,
            seconds=seconds,
        )


def __getattr__(name: str) -> object:
    """Fetch what needs ``unittest`` on first use."""
    if name in {"LeakAssertions", "LeakTestCase"}:
        from leakguard import _testcase

        return getattr(_testcase, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _directory_of(work: Callable[..., Any]) -> str | None:
    """Return the directory of the work's source, past its decorators."""
    plain = inspect.unwrap(work)
    code = getattr(getattr(plain, "__func__", plain), "__code__", None)
    file: str | None = getattr(code, "co_filename", None)
    if not file or file.startswith("<"):
        return None
    return str(Path(file).absolute().parent)
