"""From the windows of an investigation, and the trend beside it, to who is accused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from leakguard._core.by_route import explaining_route
from leakguard._core.evidence import NO_LOOK, gather, stopped
from leakguard._core.judge import acquitted_verdict
from leakguard._core.overhead import LEAST_WORK, NO_TIME, Span
from leakguard._core.places import accuse_places, key_of, with_evidence
from leakguard._core.rates import Burst, Total, judge_run, rate_rows
from leakguard._core.records import GUILTY, Verdict
from leakguard._core.suspects import accuse, accuse_native, fastest_held, split_bounded
from leakguard._core.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from leakguard._core.by_route import RouteGrowth
    from leakguard._core.evidence import DeepLook, Growth
    from leakguard._core.observe import GrowthRow
    from leakguard._core.places import Growing
    from leakguard._core.records import Acquittal, Frame, Suspect
    from leakguard._core.samples import Sample
    from leakguard._core.suspects import Names
    from leakguard._core.trend import Trend

#: Windows with at least so many different amounts of work show growth per unit.
_LEAST_AMOUNTS = 3
#: Windows in which less than this share of the growth was traced show native growth.
_LEAST_NATIVE_LOOKS, _TRACED_SHARE = 8, 0.3
#: Bounded holders that explain this share of the growth acquit all of it.
_EXPLAINED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """One window: when, how long, how much work, and survivors by allocating frame.

    ``routes`` are the requests in it by route, where that is told.
    """

    at_seconds: float
    seconds: float
    work: int | None
    sites: Mapping[Frame, tuple[int, int]]
    routes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Findings:
    """What an investigation has seen so far. ``span`` is all of it, with the rests.

    ``deep_span`` is the window at depth, whose ``deep.work_done`` is not used.
    """

    looks: tuple[Look, ...] = ()
    deep: DeepLook | None = None
    deep_span: Span = NO_TIME
    span: Span = NO_TIME

    @property
    def counted(self) -> bool:
        """Whether growth can be told per unit of work, and not just per second."""
        amounts = [look.work for look in self.looks if look.work is not None]
        return sum(amounts) >= LEAST_WORK and len(set(amounts)) >= _LEAST_AMOUNTS

    @property
    def seconds_per_unit(self) -> float | None:
        """Wall seconds per unit of work, where growth is told per unit."""
        if not self.counted or not self.span.work:
            return None
        return self.span.seconds / self.span.work

    def rows(self) -> tuple[GrowthRow, ...]:
        """Return the growing sites, per unit of work or per second, fastest first."""
        return rate_rows(self.bursts())

    def bursts(self) -> tuple[Burst, ...]:
        """Return the windows by their length, which is work where that is known."""
        by_work = self.seconds_per_unit is not None
        return tuple(
            Burst(at.at_seconds, at.work or 0 if by_work else at.seconds, at.sites)
            for at in self.looks
        )

    def route_of(self, growth: Growth) -> RouteGrowth | None:
        """Return the route whose requests a growth goes with."""
        frames = {stack[0] for stack in growth.stacks}
        amounts = [
            float(
                sum(size for frame, (size, _) in look.sites.items() if frame in frames)
            )
            for look in self.looks
        ]
        return explaining_route(amounts, [look.routes for look in self.looks])

    def deep_look(self) -> DeepLook:
        """Return the look at depth, its work in the units of the rows."""
        if self.deep is None:
            return NO_LOOK
        span = self.deep_span
        by_work = self.seconds_per_unit is not None
        return replace(self.deep, work_done=span.work or 0 if by_work else span.seconds)


@dataclass(frozen=True, slots=True)
class Weighed:
    """Who would be accused of growth and who is acquitted, before any verdict.

    ``containers`` are suspects that no line explains; alone they say nothing of whether
    there is a leak. ``acquitted_rate`` is the growth of the acquitted in bytes per
    second.
    """

    found: Findings = Findings()
    suspects: tuple[Suspect, ...] = ()
    acquitted: tuple[Acquittal, ...] = ()
    acquitted_rate: float = 0.0
    containers: tuple[Suspect, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """The verdict with the suspects that stand for it, and who was acquitted."""

    verdict: Verdict
    suspects: tuple[Suspect, ...]
    acquitted: tuple[Acquittal, ...]


def weigh(
    found: Findings,
    names: Names,
    *,
    seconds: float,
    growing: Sequence[Growing] = (),
) -> Weighed:
    """Return what the windows say of each growing line. Parses sources: milliseconds.

    ``seconds`` is how long the process has been watched; ``growing`` are the containers
    that were seen to grow.
    """
    deep = found.deep_look()
    rows = [row for row in found.rows() if not stopped(row, deep)]
    growths = gather(rows, deep, names.in_app)
    guilty, acquitted = split_bounded(
        growths, names, work_done=deep.work_done, seconds=seconds
    )
    pace = found.seconds_per_unit
    held = fastest_held(growths)
    suspects = accuse(
        guilty, names, held=held, seconds_per_call=pace, route_of=found.route_of
    )
    rate = sum(a.growth_bytes_per_call or 0.0 for a in acquitted) / (pace or 1.0)
    known = {key_of(growth.holding) for growth in growths if growth.holding}
    return Weighed(
        found,
        with_evidence(suspects, growing),
        tuple(acquitted),
        rate,
        accuse_places(growing, known, seconds_per_unit=pace),
    )


def explain(
    weighed: Weighed, trend: Trend | None, history: Sequence[Sample]
) -> Explained:
    """Return the verdict: the trend's, unless the windows know better.

    They do when all that grows has a bound, and when the trend cannot tell yet.
    """
    found, suspects, acquitted = weighed.found, weighed.suspects, weighed.acquitted
    verdict = trend_verdict(trend, found.seconds_per_unit)
    undecided = verdict.kind in {"leak", "unknown"}
    if undecided and acquitted and not suspects:
        rate = verdict.growth_bytes_per_second or 0.0
        if weighed.acquitted_rate >= _EXPLAINED_SHARE * rate:
            span = format_seconds(found.span.seconds)
            verdict = acquitted_verdict(acquitted, span)
    elif verdict.kind == "unknown" and suspects:
        verdict = _by_windows(weighed, history) or verdict
    elif verdict.kind == "leak" and not suspects and _is_native(found, verdict):
        verdict = _as_native(verdict)
    if verdict.kind == "native-leak":
        return Explained(verdict, (accuse_native(verdict),), acquitted)
    if verdict.kind != "leak":
        return Explained(verdict, (), acquitted)
    more = (replace(s, rank=s.rank + len(suspects)) for s in weighed.containers)
    suspects = (*suspects, *more)
    share = _explained_share(suspects, trend)
    return Explained(replace(verdict, explained_share=share), suspects, acquitted)


def _explained_share(suspects: Sequence[Suspect], trend: Trend | None) -> float | None:
    """Return the suspects' part of the growth of the process, as the trend has it."""
    rate = trend.growth_bytes_per_second if trend is not None else None
    named = sum(suspect.growth_bytes_per_second or 0.0 for suspect in suspects)
    return named / rate if named and rate is not None and rate > 0 else None


def _is_native(found: Findings, verdict: Verdict) -> bool:
    """Return whether the windows trace little of the growth: it is not Python's.

    ``tracemalloc`` sees what Python allocates and what libraries report to it.
    """
    if len(found.looks) < _LEAST_NATIVE_LOOKS:
        return False
    seconds = sum(look.seconds for look in found.looks)
    kept = sum(size for look in found.looks for size, _ in look.sites.values())
    rate = verdict.growth_bytes_per_second or 0.0
    return kept < _TRACED_SHARE * rate * seconds


def _as_native(verdict: Verdict) -> Verdict:
    reason = verdict.reason.removesuffix(".") + (
        "; what Python allocated meanwhile does not explain it: native code keeps it."
    )
    return replace(verdict, kind="native-leak", reason=reason)


def _by_windows(weighed: Weighed, history: Sequence[Sample]) -> Verdict | None:
    """Return the verdict of the windows alone, if it is a leak."""
    found = weighed.found
    seen = judge_run(found.bursts(), _totals(history), weighed.suspects)
    rate, pace = seen.growth_bytes_per_second, found.seconds_per_unit
    if seen.kind != "leak" or rate is None or pace is None:
        return seen if seen.kind == "leak" else None
    return replace(seen, growth_bytes_per_call=rate * pace)


def trend_verdict(trend: Trend | None, seconds_per_unit: float | None) -> Verdict:
    """Return the trend as a verdict; unknown where nothing was judged yet."""
    if trend is None:
        return Verdict("unknown", 0.5, "The memory has not been watched for long yet.")
    rate = trend.growth_bytes_per_second
    per_call = None
    if rate is not None and seconds_per_unit is not None:
        per_call = rate * seconds_per_unit
    return Verdict(
        trend.kind,
        trend.confidence,
        trend.reason,
        growth_bytes_per_call=per_call,
        growth_bytes_per_second=rate,
        time_to_limit_seconds=trend.forecast.time_to_limit_seconds,
    )


def is_suspicious(trend: Trend, *, hurry_seconds: float = 600.0) -> bool:
    """Return whether the trend is worth looking for lines of code.

    It is a leak, or growth that is sure and not yet told from a warm-up, or the
    limit is near in time.
    """
    if trend.kind in GUILTY:
        return True
    left = trend.forecast.time_to_limit_seconds
    if left is not None and left < hurry_seconds:
        return True
    interval = trend.growth_interval
    return trend.kind == "unknown" and interval is not None and interval[0] > 0


def _totals(history: Sequence[Sample]) -> tuple[Total, ...]:
    first = history[0].t_seconds if history else 0.0
    return tuple(
        Total(one.t_seconds - first, one.python_blocks, one.in_use_bytes)
        for one in history
        if one.python_blocks is not None
    )
