"""The face for production: watch this process, judge its memory, find what grows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, cast

from leakguard._core.forecast import Forecast
from leakguard._core.records import LeakguardError
from leakguard._core.units import parse_bytes
from leakguard._runtime.monitor import Monitor, Options, attach, detach, process

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from leakguard._core.pressure import Pressure
    from leakguard._core.records import Report, Verdict

__all__ = ["Guard", "current", "watch"]

_log = logging.getLogger("leakguard")


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
    ``policy`` must be ``None``.

    Raises:
        LeakguardError: an option makes no sense; one sentence says which.

    """

    def __init__(
        self,
        limit: int | str | None = None,
        budget: float = 0.05,
        policy: None = None,
        *,
        tracing: Literal["windows", "always"] = "windows",
        app_root: str | None = None,
    ) -> None:
        """Remember the options; nothing runs, nothing is read or patched."""
        self._options = _options(limit, budget, policy, tracing, app_root)
        self._monitor: Monitor | None = None

    def start(self) -> None:
        """Begin to watch; does nothing when this guard does already.

        Cost: some milliseconds once, for the first reading.
        """
        self._monitor = attach(self, self._options)
        _warn_if_ignored(self._options, self._monitor)

    def stop(self) -> None:
        """Watch no more: no thread, tracing or patch is left. What is known stays.

        The monitor goes on for other guards of this process, if there are any.
        """
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

    def report(self) -> Report:
        """Return what is known now. Cost: some milliseconds; do it off the hot path.

        Before ``start()`` that is the memory as it is.
        """
        if self._monitor is None:
            monitor = self._known()
            monitor.watcher.step()
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
        monitor, started = self._monitor, self in self._known().users
        if not started or monitor is None:
            with self:
                return self.investigate(seconds)
        monitor.investigate(seconds)
        return monitor.report()

    def _known(self) -> Monitor:
        if self._monitor is None:
            return Monitor(self._options, process().work)
        return self._monitor


def watch(
    limit: int | str | None = None,
    budget: float = 0.05,
    policy: None = None,
    *,
    tracing: Literal["windows", "always"] = "windows",
    app_root: str | None = None,
) -> Guard:
    """Return this process's started ``Guard``; the first call makes it.

    The options are those of ``Guard``; later calls get the same guard, and a warning
    in the log, once, if they ask for other options.

    Raises:
        LeakguardError: an option makes no sense; one sentence says which.

    """
    options = _options(limit, budget, policy, tracing, app_root)
    with process().lock:
        running, monitor = current(), process().monitor
        if running is not None and monitor is not None:
            _warn_if_ignored(options, monitor)
            return running
        made = Guard(limit, budget, policy, tracing=tracing, app_root=app_root)
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
    policy: None,
    tracing: str,
    app_root: str | None,
) -> Options:
    if policy is not None:  # for callers without a type checker
        raise LeakguardError(
            "policy must be None: this version watches and reports, and does not act"
        )
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
    return Options(limit_bytes, budget, tracing == "always", app_root)


def _warn_if_ignored(options: Options, monitor: Monitor) -> None:
    """Say once that the process's monitor runs with other options than asked for."""
    home = process()
    if options not in (Options(), monitor.options) and not home.warned:
        home.warned = True
        _log.warning(
            "this process is watched already, with other options: %s stay in force",
            monitor.options,
        )
