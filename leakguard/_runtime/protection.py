"""Does about pressure what the policy says: the gate, the reliefs, the log.

Rules of this file: called once per tick, in the watcher's thread, and so brief; what
takes time is done by the reliefs' thread. Stopped, it leaves the gate open.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from leakguard._core.counters import Counters
from leakguard._core.gate import GateState, gate_state
from leakguard._core.policy import (
    Observation,
    Policy,
    PolicyState,
    Transition,
    seconds_to_full,
    step,
)
from leakguard._core.policy_table import Level, rank
from leakguard._core.recycling import Legacy
from leakguard._core.surge import Surge, looked
from leakguard._readers.process import peak_rss_bytes
from leakguard._runtime.recycling import Recycler
from leakguard._runtime.relief import STOP_PATIENCE_SECONDS, Reliefs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from leakguard._core.policy import Action
    from leakguard._core.trend import Trend
    from leakguard._runtime.gate import Gate
    from leakguard._runtime.watcher import State

_log = logging.getLogger("leakguard")

#: How long the next tick may be away, by level; and when a level waits for it.
TICK_SECONDS: Final[Mapping[Level, float]] = {
    "ok": 4.0,
    "elevated": 0.5,
    "high": 0.25,
    "critical": 0.25,
}
RECHECK_SECONDS: Final = 0.05
#: Where memory rises fast, so many looks come before it is full.
LOOKS_ON_THE_WAY: Final = 8
KEPT_TRANSITIONS: Final = 32


class _Estimate(NamedTuple):
    """When the limit would be hit, as of a moment, under a limit."""

    seconds: float
    at_seconds: float
    limit_bytes: int | None


class Protection:
    """What the process does about its pressure. One per monitor."""

    def __init__(  # noqa: PLR0913 - every part of the outside is a parameter
        self,
        policy: Policy | None,
        gate: Gate,
        *,
        reliefs: Reliefs | None = None,
        recycler: Recycler | None = None,
        investigate: Callable[[], None] = lambda: None,
        record: Callable[[], None] = lambda: None,
        peak: Callable[[], int | None] = peak_rss_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember the parts; nothing is done yet.

        ``investigate`` looks for lines, ``record`` has a flight record written,
        ``peak`` tells the most that this process ever used.
        """
        self._policy = policy if policy is not None else Policy()
        self._gate, self._clock = gate, clock
        self.reliefs = reliefs if reliefs is not None else Reliefs()
        self.recycler = recycler if recycler is not None else Recycler(self._policy)
        self._investigate, self._record, self._peak = investigate, record, peak
        self._forget()

    def reset(self) -> None:
        """Forget everything but the callbacks, as in a forked child."""
        self._forget()
        self._gate.reset()
        self.reliefs.reset()
        self.recycler.reset()

    def _forget(self) -> None:
        self._state = PolicyState()
        self._estimate: _Estimate | None = None
        self._surge = self._own_surge = Surge()
        self._surge_limit: str | None = None
        self._peak_bytes: int | None = None
        self._group_peak_bytes: int | None = None
        self._transitions = Counter[str]()
        self._actions = Counter[str]()
        self._last: deque[Transition] = deque(maxlen=KEPT_TRANSITIONS)

    @property
    def level(self) -> Level:
        """The level of pressure. Cost: below 1 µs."""
        return self._state.level

    def judged(self, trend: Trend, seen: State) -> None:
        """Take note of a new forecast, made at the last tick."""
        left = trend.forecast.time_to_limit_seconds
        self._estimate = None
        if left is not None and seen.sample is not None:
            limit_bytes = seen.pressure.limit_bytes
            self._estimate = _Estimate(left, seen.sample.t_seconds, limit_bytes)

    def ticked(self, seen: State) -> float:
        """Do what this look calls for; return how soon the next one should come.

        Cost: about 40 µs, and some hundred more at a change of level.
        """
        at = seen.sample.t_seconds if seen.sample is not None else self._clock()
        look = self._look(at, seen)
        before = self._state
        self._state, happened = step(self._policy, before, look)
        self.recycler.ticked(seen)
        self._publish()
        for event in happened:
            if isinstance(event, Transition):
                self._tell(event, seen.pressure.source)
            else:
                self._act(event, seen)
        self.reliefs.watch()
        if self._state.is_unconfirmed:
            return RECHECK_SECONDS
        soon = seconds_to_full(before, self._state) / LOOKS_ON_THE_WAY
        return max(RECHECK_SECONDS, min(soon, TICK_SECONDS[self._state.level]))

    def counters(self, failed_ticks: int) -> Counters:
        """Return what was done so far. Cost: about 50 µs."""
        admitted, shed = self._gate.counts()
        return Counters(
            dict(self._transitions),
            dict(self._actions),
            admitted,
            shed,
            failed_ticks,
            tuple(self._last),
            self.reliefs.history(),
            self.reliefs.disabled(),
            *self.recycler.account,
        )

    def stop(self, patience_seconds: float = STOP_PATIENCE_SECONDS) -> None:
        """Do no more, and open the gate."""
        self._state, self._estimate = PolicyState(), None
        self._gate.publish(GateState())
        self.reliefs.stop(patience_seconds)

    def _look(self, at_seconds: float, seen: State) -> Observation:
        """Return how near the limit is, with what must be expected for moments."""
        now, left = seen.pressure, self._left(at_seconds, seen)
        self._look_at_own(at_seconds, seen)
        peak_bytes = self._peak_of_group(seen)
        if now.unreclaimable_bytes is None or not now.limit_bytes:
            return Observation(at_seconds, now.ratio, left)
        if now.source != self._surge_limit:  # another limit, another use of it
            if self._surge_limit is None:
                self._inherit(now.limit_bytes)
            else:
                self._surge = Surge()
                told = "the memory limit that counts is now %s; it was %s"
                _log.warning(told, now.source, self._surge_limit)
            self._surge_limit = now.source
        used_bytes = now.unreclaimable_bytes
        self._surge = looked(self._surge, at_seconds, used_bytes, peak_bytes)
        surge = self._surge.with_own(self._own_surge)
        surge_ratio = surge.rise_bytes / now.limit_bytes
        peak_ratio = surge.used_bytes / now.limit_bytes
        return Observation(at_seconds, now.ratio, left, surge_ratio, peak_ratio)

    def _look_at_own(self, at_seconds: float, seen: State) -> None:
        """Take note of what this process uses, and has used between two looks.

        The latter is seen only where it was more than ever before.
        """
        before, self._peak_bytes = self._peak_bytes, self._peak()
        rss_bytes = seen.sample.rss_bytes if seen.sample is not None else None
        if rss_bytes is None:
            return
        risen = before is not None and (self._peak_bytes or 0) > before
        peak_bytes = self._peak_bytes or 0 if risen else 0
        self._own_surge = looked(self._own_surge, at_seconds, rss_bytes, peak_bytes)

    def _peak_of_group(self, seen: State) -> int:
        """Return the most that the group has used since the last look, or zero.

        Seen only where it was more than ever before, and by all siblings alike. What
        it holds now that can be dropped is left out.
        """
        reading, used_bytes = seen.reading, seen.pressure.unreclaimable_bytes
        before, peak = self._group_peak_bytes, reading.peak_usage_bytes
        self._group_peak_bytes = peak
        if before is None or peak is None or peak <= before:
            return 0
        if used_bytes is None or used_bytes != reading.unreclaimable_bytes:
            return 0  # what counts is not the group's
        return peak - ((reading.usage_bytes or 0) - used_bytes)

    def _inherit(self, limit_bytes: int) -> None:
        """Begin with what the worker knew whose place this one has taken."""
        left = self.recycler.inherited()
        steps = (left.step, left.step) if left.step is not None else ()
        self._surge = Surge((), left.surge_bytes, left.at_seconds, steps)
        if left.floor_bytes is not None:
            floor_ratio = left.floor_bytes / limit_bytes
            self._state = self._state._replace(floor_ratio=floor_ratio)

    def _left(self, at_seconds: float, seen: State) -> float | None:
        """Return the time that is left of the last forecast, if it still holds."""
        known = self._estimate
        if known is None or known.limit_bytes != seen.pressure.limit_bytes:
            return None
        return max(0.0, known.seconds - max(0.0, at_seconds - known.at_seconds))

    def _publish(self) -> None:
        leaves = self.recycler.is_asked
        if leaves or (self._state.level, self._gate.level) != ("ok", "ok"):
            state = gate_state(self._policy, self._state)
            self._gate.publish(replace(state, ready=state.ready and not leaves))

    def _tell(self, change: Transition, source: str) -> None:
        self._transitions[change.level] += 1
        self._last.append(change)
        self._record()
        worse = rank(change.level) > rank(change.before)
        _log.log(
            logging.WARNING if worse else logging.INFO,
            "memory pressure goes from %s to %s: %s (%s)%s",
            change.before,
            change.level,
            change.reason,
            source,
            "; nothing is done: a dry run" if self._policy.dry_run else "",
        )

    def _legacy(self, seen: State) -> Legacy:
        floor_ratio, limit_bytes = self._state.floor_ratio, seen.pressure.limit_bytes
        floor_bytes = None
        if floor_ratio is not None and limit_bytes is not None:
            floor_bytes = floor_ratio * limit_bytes
        surge = self._surge.with_own(self._own_surge)
        return Legacy(surge.expected_bytes, floor_bytes, step=surge.step)

    def _act(self, action: Action, seen: State) -> None:
        self._actions[action.kind] += 1
        if action.kind == "warn":
            _log.warning("%s", action.reason)
        elif action.kind == "investigate":
            self._investigate()
        elif action.kind == "record":
            self._record()
        elif action.kind == "recycle":
            self.recycler.consider(action, seen, self._legacy(seen))
        else:
            self.reliefs.ask(action)
