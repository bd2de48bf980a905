"""The face for production: watch this process, judge its memory, find what grows."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from leakguard._core.forecast import Forecast
from leakguard._core.policy_table import LEVELS, Policy
from leakguard._core.records import LeakguardError
from leakguard._core.units import parse_bytes
from leakguard._runtime.gate import Unit
from leakguard._runtime.monitor import Monitor, Options, attach, detach, process
from leakguard._runtime.retention import MOST_TRACKED

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from leakguard._core.counters import Counters
    from leakguard._core.gate import Priority
    from leakguard._core.policy_table import Level
    from leakguard._core.pressure import Pressure
    from leakguard._core.records import Report, Verdict
    from leakguard._runtime.gate import Gate
    from leakguard._runtime.relief import Job

__all__ = ["Guard", "current", "watch"]

_log = logging.getLogger("leakguard")

#: More callbacks than this are a leak of their own.
MOST_CALLBACKS = 256
#: How long what should die soon may live.
TRACK_SECONDS = 30.0


class Guard:
    """Watches the memory of this process from a daemon thread, once started.

    Once a second it reads limits and usage (below 0.2 ms); now and then it judges how
    memory moves. When the growth looks like a leak it opens short windows of tracing,
    so rarely that the program loses at most ``budget`` of its speed meanwhile, and
    none while all is well. All guards of a process share one monitor, with the
    options of the first; a forked child goes on with one of its own.

    ``limit`` is a limit of your own beside those of the system, in bytes or like
    ``"512 MiB"``. ``tracing="always"`` traces from ``start()`` to ``stop()``, several
    times slower; for those who start it before any thread. ``app_root`` is a
    directory whose files are the application's even among installed packages.
    ``policy`` says what is done about pressure; ``None`` is ``Policy()``.

    ``flight_record`` is a directory for the last words of this process, which
    ``leakguard.previous_life`` reads after it was killed; with ``termination_log``
    some lines go to ``/dev/termination-log`` as well. ``heap_limit`` is a limit on what
    this process itself holds, ``"400 MiB"``; ``hard`` has the kernel keep it: beyond
    it the program gets a ``MemoryError``.

    Raises:
        LeakguardError: an option makes no sense; one sentence says which.

    """

    def __init__(  # noqa: PLR0913 - every option has a name and a default
        self,
        limit: int | str | None = None,
        budget: float = 0.05,
        policy: Policy | None = None,
        *,
        tracing: Literal["windows", "always"] = "windows",
        app_root: str | None = None,
        flight_record: str | os.PathLike[str] | None = None,
        termination_log: bool = False,
        heap_limit: int | str | None = None,
        hard: bool = False,
    ) -> None:
        """Remember the options; nothing runs, nothing is read or patched."""
        self._options = replace(
            _options(limit, budget, policy, tracing, app_root),
            **_more_options(flight_record, termination_log, heap_limit, hard),
        )
        self._monitor: Monitor | None = None
        self._callbacks: list[tuple[Callable[[], object], Level]] = []
        self._jobs: list[Job] = []

    def start(self) -> None:
        """Begin to watch; does nothing when this guard does already.

        Cost: some milliseconds once, for the first reading.
        """
        with process().lock:
            was = self._is_started()
            self._monitor = attach(self, self._options)
            if not was:
                add = self._monitor.protection.reliefs.add
                self._jobs = [add(*callback) for callback in self._callbacks]
        _warn_if_ignored(self._options, self._monitor)

    def stop(self) -> None:
        """Watch no more: no thread, tracing or patch is left. What is known stays.

        The gate is open then. The monitor goes on for other guards of this process, if
        there are any; the callbacks of this one are called no more.
        """
        with process().lock:
            if self._monitor is not None:
                self._monitor.protection.reliefs.remove(self._jobs)
            self._jobs = []
        detach(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def verdict(self) -> Verdict:
        """What kind of growth this is, as last judged. Cost: below 1 µs, no lock."""
        return self._known().verdict

    @property
    def forecast(self) -> Forecast:
        """When the limit will be hit, as last judged. Cost: below 1 µs, no lock."""
        trend = self._known().watcher.state.trend
        if trend is not None:
            return trend.forecast
        return Forecast(None, None, None, "the memory has not been watched for long")

    @property
    def pressure(self) -> Pressure:
        """How near the limit is, as of the last tick. Cost: below 1 µs, no lock."""
        return self._known().watcher.state.pressure

    @property
    def level(self) -> Level:
        """The level of pressure, ``"ok"`` to ``"critical"``. Cost: below 1 µs."""
        return self._known().protection.level

    @property
    def counters(self) -> Counters:
        """What was done about pressure so far. Cost: about 50 µs."""
        monitor = self._known()
        known = monitor.protection.counters(monitor.watcher.state.failed_ticks)
        failed = monitor.recorder.failures if monitor.recorder is not None else 0
        return replace(known, failed_records=failed)

    @property
    def gate(self) -> Gate:
        """The process's gate: all its guards have the same, before and after a start.

        ``gate.admit(...)`` returns ``None``, or why work has to stay outside and when
        to try again.
        """
        return process().gate

    def admit(self, priority: Priority = "normal", key: str | None = None) -> bool:
        """Return whether a unit of work may begin. Cost: below 1 µs while all is well.

        Under pressure work that is ``"sheddable"`` is refused first, ``"critical"``
        and ``"exempt"`` never. ``key`` tells clients apart: one keeps its luck for an
        hour.
        """
        return process().gate.admit(priority, key) is None

    def work(self) -> Unit:
        """Return what counts one unit of work: ``with guard.work(): ...``."""
        return Unit(process().gate)

    def on_pressure(self, callback: Callable[[], object], at: Level = "high") -> None:
        """Have ``callback()`` called at this level of pressure and above.

        It is called in a thread of leakguard's, when the level is entered and, while
        that lasts and the pressure does not fall, every 5 s. What it raises is logged
        once; after three failures, or runs of more than 10 s, it is called no more.
        Helpers that keep no object alive are in ``leakguard.reliefs``.

        Raises:
            LeakguardError: there is no such level, or nothing to call, or there are
                too many callbacks already.

        """
        if at not in LEVELS[1:]:
            message = f"at is one of {', '.join(LEVELS[1:])}, not {at!r}"
            raise LeakguardError(message)
        given: object = callback  # for callers without a type checker
        if not callable(given):
            message = f"a callback is something to call, not a {type(given).__name__}"
            raise LeakguardError(message)
        with process().lock:
            if len(self._callbacks) >= MOST_CALLBACKS:
                message = f"a guard has at most {MOST_CALLBACKS} callbacks"
                raise LeakguardError(message)
            self._callbacks.append((callback, at))
            if self._monitor is not None and self._is_started():
                self._jobs.append(self._monitor.protection.reliefs.add(callback, at))

    def track(
        self, obj: object, name: str, *, grace_seconds: float = TRACK_SECONDS
    ) -> None:
        """Watch that ``obj`` dies: a request, a session, a task, a connection.

        If it is alive ``grace_seconds`` from now and after a collection, the report
        tells of it by this name, and of who holds it. A weak reference is all that is
        kept, of at most 10000 objects at once. Cost: about 1 µs.

        Raises:
            LeakguardError: its type allows no weak reference.

        """
        home = process()
        home.hook_forks()
        if not home.retention.track(obj, name, grace_seconds) and not home.told_full:
            home.told_full = True
            _log.warning("track: %d objects are watched, no more are", MOST_TRACKED)

    def report(self) -> Report:
        """Return what is known now. Cost: some milliseconds; do it off the hot path.

        Before ``start()`` that is the memory as it is.
        """
        if self._monitor is None:
            monitor = self._known()
            monitor.watcher.step()
            monitor.watcher.stop()
            return monitor.report()
        return self._monitor.report()

    def investigate(self, seconds: float = 30.0) -> Report:
        """Look for the lines that grow for so long, within the budget, and report.

        It blocks: call it off the request path. A guard that is not started is for
        just this long.
        """
        if not seconds > 0:
            message = f"seconds must be above 0, not {seconds}"
            raise LeakguardError(message)
        monitor = self._monitor
        if not self._is_started() or monitor is None:
            with self:
                return self.investigate(seconds)
        monitor.investigate(seconds)
        return monitor.report()

    def _is_started(self) -> bool:
        return self._monitor is not None and self in self._monitor.users

    def _known(self) -> Monitor:
        if self._monitor is None:
            return Monitor(self._options, process().work)
        return self._monitor


def watch(  # noqa: PLR0913 - those of Guard
    limit: int | str | None = None,
    budget: float = 0.05,
    policy: Policy | None = None,
    *,
    tracing: Literal["windows", "always"] = "windows",
    app_root: str | None = None,
    flight_record: str | os.PathLike[str] | None = None,
    termination_log: bool = False,
    heap_limit: int | str | None = None,
    hard: bool = False,
) -> Guard:
    """Return this process's started ``Guard``; the first call makes it.

    The options are those of ``Guard``; later calls get the same guard, and a warning
    in the log, once, if they ask for other options.

    Raises:
        LeakguardError: an option makes no sense; one sentence says which.

    """
    options = replace(
        _options(limit, budget, policy, tracing, app_root),
        **_more_options(flight_record, termination_log, heap_limit, hard),
    )
    with process().lock:
        running, monitor = current(), process().monitor
        if running is not None and monitor is not None:
            _warn_if_ignored(options, monitor)
            return running
        made = Guard(
            limit,
            budget,
            policy,
            tracing=tracing,
            app_root=app_root,
            flight_record=flight_record,
            termination_log=termination_log,
            heap_limit=heap_limit,
            hard=hard,
        )
        made.start()
        return made


def current() -> Guard | None:
    """Return this process's started guard, or ``None``. Cost: below 1 µs."""
    monitor = process().monitor
    users = monitor.users if monitor is not None else []
    return cast("Guard | None", next(iter(users), None))


def _options(
    limit: int | str | None,
    budget: float,
    policy: object,
    tracing: str,
    app_root: str | None,
) -> Options:
    if policy is not None and not isinstance(policy, Policy):
        message = f"policy is a leakguard.Policy, not a {type(policy).__name__}"
        raise LeakguardError(message)
    if not 0 <= budget < 1:
        message = f"budget is a share between 0 and 1, such as 0.05, not {budget}"
        raise LeakguardError(message)
    if tracing not in ("windows", "always"):
        message = f'tracing is "windows" or "always", not {tracing!r}'
        raise LeakguardError(message)
    limit_bytes = None if limit is None else parse_bytes(limit)
    if limit_bytes is not None and limit_bytes <= 0:
        message = f"limit must be above 0, not {limit}"
        raise LeakguardError(message)
    return Options(limit_bytes, budget, tracing == "always", app_root, policy)


def _more_options(
    flight_record: object,
    termination_log: object,
    heap_limit: int | str | None,
    hard: object,
) -> dict[str, Any]:
    """Return what is kept of the later options."""
    if flight_record is not None and not isinstance(flight_record, (str, os.PathLike)):
        message = f"flight_record is a directory, not a {type(flight_record).__name__}"
        raise LeakguardError(message)
    limit_bytes = None if heap_limit is None else parse_bytes(heap_limit)
    if limit_bytes is not None and limit_bytes <= 0:
        message = f"heap_limit must be above 0, not {heap_limit}"
        raise LeakguardError(message)
    if hard and limit_bytes is None:
        raise LeakguardError("hard says how a heap_limit is kept, and there is none")
    return {
        "flight_record": None if flight_record is None else os.fsdecode(flight_record),
        "termination_log": bool(termination_log),
        "heap_limit_bytes": limit_bytes,
        "hard": bool(hard),
    }


def _warn_if_ignored(options: Options, monitor: Monitor) -> None:
    """Say once that the process's monitor runs with other options than asked for."""
    home = process()
    if options not in (Options(), monitor.options) and not home.warned:
        home.warned = True
        _log.warning(
            "this process is watched already, with other options: %s stay in force",
            monitor.options,
        )
