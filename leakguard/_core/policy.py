"""What to do about memory pressure, step by step: the table's levels come and go.

Rules of this file: pure; every number of the user's stands in the ``Policy``; each
transition is one record that says why. Up at once, down slowly: a level is entered
when two looks in succession ask for it, or the very first one, and left, for the next
lower one, when all looks for a while asked for less.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from leakguard._core.policy_table import LASTING, LEVELS, Policy, rank, threshold_of
from leakguard._core.units import format_ratio, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._core.policy_table import ActionKind, Level, Threshold

__all__ = [
    "Action",
    "Observation",
    "Policy",
    "PolicyState",
    "Transition",
    "seconds_to_full",
    "step",
]

#: Done while the level lasts, whatever becomes of the pressure: where work is shed
#: nothing is allocated, so nothing else would ever start a collection.
_REGARDLESS: Final = "collect"
#: A step of the clock counts for so much at most: a suspend is no evidence.
MOST_STEP_SECONDS = 5.0
#: The pressure falls when it is so far below its average over some ten seconds.
AVERAGE_SECONDS, FALLING_RATIO = 10.0, 0.01
#: Pressure that comes back after so long a calm is new: what helped is done again.
CALM_SECONDS = 1.0
#: Surges of so much of the limit are spoken of.
TOLD_SURGE_RATIO = 0.01
#: A level that a forecast brought ends when the limit is this many times as far.
CALM_FACTOR = 1.5


class Observation(NamedTuple):
    """How near the limit is at one moment; ``None`` is not known.

    ``at_seconds`` is of any clock that is meant to go forward. ``surge_ratio`` is by
    how much memory must be expected to rise for moments, ``peak_ratio`` where to.
    """

    at_seconds: float
    ratio: float | None
    time_to_limit_seconds: float | None = None
    surge_ratio: float = 0.0
    peak_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of level; ``reason`` is a phrase."""

    at_seconds: float
    before: Level
    level: Level
    reason: str


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do now, at a level that has lasted for ``held_seconds``."""

    kind: ActionKind
    level: Level
    held_seconds: float
    reason: str


#: Never changed, like all of a state.
_NOTHING_DONE: Final[Mapping[ActionKind, float]] = {}


class PolicyState(NamedTuple):
    """What is remembered from look to look.

    Its own clock, ``now_seconds``, goes forward only. ``wanted`` is the level that the
    last look alone asks for, ``floor_ratio`` the lowest ratio so far, ``done`` the
    time of the last action of each kind since the last way up.
    """

    level: Level = "ok"
    wanted: Level = "ok"
    now_seconds: float = 0.0
    since_seconds: float = 0.0
    calm_since_seconds: float | None = None
    seen_at_seconds: float | None = None
    ratio: float | None = None
    average_ratio: float | None = None
    floor_ratio: float | None = None
    surge_ratio: float = 0.0
    peak_ratio: float = 0.0
    time_to_limit_seconds: float | None = None
    done: Mapping[ActionKind, float] = _NOTHING_DONE

    @property
    def is_unconfirmed(self) -> bool:
        """Whether a higher level waits for a second look."""
        return rank(self.wanted) > rank(self.level)

    @property
    def is_falling(self) -> bool:
        """Whether the pressure goes down by itself."""
        if self.ratio is None or self.average_ratio is None:
            return True
        return self.ratio < self.average_ratio - FALLING_RATIO

    @property
    def highest_ratio(self) -> float:
        """How near the limit is now, or will be at the next peak."""
        return max(self.ratio or 0.0, self.peak_ratio)

    @property
    def at(self) -> str:
        """How near the limit is, as a phrase."""
        at = f"memory is at {format_ratio(self.ratio)} of its limit"
        if self.highest_ratio - (self.ratio or 0.0) < TOLD_SURGE_RATIO:
            return at
        return f"{at}, at its peaks {format_ratio(self.peak_ratio)}"

    def reached(self, policy: Policy, level: Level) -> Threshold | None:
        """Return what memory, or its peaks, have reached of a level, or stay within."""
        if self.highest_ratio < policy.thresholds[level][1]:  # no floor lowers it
            return None
        floor, inside = self.floor_ratio or 0.0, rank(level) <= rank(self.level)
        for ratio, floor_ratio in (
            (self.ratio or 0.0, floor),
            (self.highest_ratio, floor + self.surge_ratio),
        ):
            bounds = threshold_of(policy, level, floor_ratio)
            if ratio >= (bounds.leave_ratio if inside else bounds.enter_ratio):
                return bounds
        return None


def step(
    policy: Policy, state: PolicyState, seen: Observation
) -> tuple[PolicyState, tuple[Transition | Action, ...]]:
    """Return the state after a look, and what happens: a transition, then actions.

    Cost: about 10 µs.
    """
    looked = _looked(state, seen)
    if state.seen_at_seconds is None:
        # A worker that has just begun is met by all that has waited for one.
        looked = looked._replace(wanted=_wanted(policy, looked))
    moved, transitions = _moved(policy, looked, seen.at_seconds)
    if policy.dry_run:
        return moved, transitions
    acted, actions = _acted(policy, moved)
    if state.floor_ratio is None:
        actions = (*actions, *_warned(policy, looked))
    return acted, (*transitions, *actions)


def seconds_to_full(before: PolicyState, after: PolicyState) -> float:
    """Return when the limit is reached if pressure rises on as between two looks."""
    passed = after.now_seconds - before.now_seconds
    if before.ratio is None or after.ratio is None or passed <= 0:
        return inf
    rise = (after.ratio - before.ratio) / passed
    return max(0.0, 1.0 - after.ratio) / rise if rise > 0 else inf


def _looked(state: PolicyState, seen: Observation) -> PolicyState:
    """Take the numbers in; ``wanted`` is still that of the last look."""
    last = state.seen_at_seconds
    passed = 0.0 if last is None else seen.at_seconds - last
    # Nothing passes when the clock is set back, or is no number.
    passed = min(passed, MOST_STEP_SECONDS) if passed > 0 else 0.0
    ratio, average, floor = seen.ratio, state.average_ratio, state.floor_ratio
    if ratio is None or not ratio >= 0:
        ratio = average = None
    else:
        share = passed / (passed + AVERAGE_SECONDS)
        average = ratio if average is None else average + share * (ratio - average)
        floor = ratio if floor is None else min(floor, ratio)
    return state._replace(
        now_seconds=state.now_seconds + passed,
        seen_at_seconds=seen.at_seconds,
        ratio=ratio,
        average_ratio=average,
        floor_ratio=floor,
        surge_ratio=seen.surge_ratio,
        peak_ratio=seen.peak_ratio,
        time_to_limit_seconds=seen.time_to_limit_seconds,
    )


def _moved(
    policy: Policy, state: PolicyState, at_seconds: float
) -> tuple[PolicyState, tuple[Transition, ...]]:
    """Go up to what this look and the last one ask for, or down by one level."""
    wanted = _wanted(policy, state)
    up = min(rank(state.wanted), rank(wanted))
    now, level, since = state.now_seconds, rank(state.level), state.calm_since_seconds
    if rank(wanted) >= level:
        if since is not None and now - since >= CALM_SECONDS:
            state = state._replace(done=_NOTHING_DONE)
        if (wanted, None) != (state.wanted, since):  # else nothing changes: the usual
            state = state._replace(wanted=wanted, calm_since_seconds=None)
        if up <= level:
            return state, ()
        # What helped until now, or did not help enough, is worth another try.
        state = state._replace(done=_NOTHING_DONE)
        return _changed(state, LEVELS[up], at_seconds, _why_up(policy, state, up))
    if since is not None and now - since < policy.dwell_seconds:
        return state._replace(wanted=wanted), ()
    state = state._replace(wanted=wanted, calm_since_seconds=now)
    if since is None:
        return state, ()
    return _changed(state, LEVELS[level - 1], at_seconds, _why_down(policy, state))


def _wanted(policy: Policy, state: PolicyState) -> Level:
    """Return the level that this look asks for; a level left must be left clearly."""
    if state.ratio is None:
        return "ok"
    for level in reversed(LEVELS[1:]):
        if state.reached(policy, level) or _hurries(policy, state, level):
            return level
    return "ok"


def _hurries(policy: Policy, state: PolicyState, level: Level) -> bool:
    """Return whether the limit is near in time, and not only by an old forecast."""
    left, ratio = state.time_to_limit_seconds, state.ratio or 0.0
    if left is None or state.is_falling:
        return False
    bounds = threshold_of(policy, level, state.floor_ratio)
    if bounds.enter_ratio == inf:
        return False
    if level != "elevated" and ratio < policy.forecast_from_ratio:
        return False
    inside = rank(level) <= rank(state.level)
    return left < bounds.hurry_seconds * (CALM_FACTOR if inside else 1.0)


def _changed(
    state: PolicyState, level: Level, at_seconds: float, reason: str
) -> tuple[PolicyState, tuple[Transition]]:
    change = Transition(at_seconds, state.level, level, reason)
    return state._replace(level=level, since_seconds=state.now_seconds), (change,)


def _why_up(policy: Policy, state: PolicyState, to: int) -> str:
    bounds = state.reached(policy, LEVELS[to])
    if bounds is not None:
        begins = format_ratio(bounds.enter_ratio)
        return f"{state.at}, and {LEVELS[to]} begins at {begins}"
    left = format_seconds(state.time_to_limit_seconds)
    return f"{state.at}, and reaches it in {left} at this rate"


def _why_down(policy: Policy, state: PolicyState) -> str:
    if state.ratio is None:
        return "how near memory is to its limit is not known any more"
    bounds = threshold_of(policy, state.level, state.floor_ratio)
    return f"{state.at}, and {state.level} ends at {format_ratio(bounds.leave_ratio)}"


def _acted(
    policy: Policy, state: PolicyState
) -> tuple[PolicyState, tuple[Action, ...]]:
    """Do what is due, if this look still asks for the level."""
    due: list[ActionKind] = []
    if rank(state.wanted) >= rank(state.level):
        kinds = policy.actions[state.level]
        due = [kind for kind in kinds if _is_due(policy, state, kind)]
    if not due:
        return state, ()
    held = state.now_seconds - state.since_seconds
    done = dict.fromkeys(due, state.now_seconds)
    actions = tuple(Action(kind, state.level, held, state.at) for kind in due)
    return state._replace(done={**state.done, **done}), actions


def _warned(policy: Policy, state: PolicyState) -> tuple[Action, ...]:
    """Say at the first look that what is in use from the start will stay."""
    enter_ratio = policy.thresholds["elevated"][0]
    if state.ratio is None or state.ratio < enter_ratio:
        return ()
    reason = (
        f"memory was at {format_ratio(state.ratio)} of its limit from the start, and"
        " nothing is done about that part of it: the limit is low"
    )
    return (Action("warn", state.level, 0.0, reason),)


def _is_due(policy: Policy, state: PolicyState, kind: ActionKind) -> bool:
    if kind in LASTING:
        return False
    before = state.done.get(kind)
    if before is None:
        return True
    if state.now_seconds - before < policy.cool_down_seconds[kind]:
        return False
    return kind == _REGARDLESS or not state.is_falling
