"""The gate that new work comes through: open while all is well, at next to no cost.

Rules of this file: what is published is replaced by one assignment, so those who ask
need no lock; counts are plain and bounded; nothing raises; and the gate opens by
itself when nobody has kept it closed for a while, whatever became of the watcher.
"""

from __future__ import annotations

import random
import time
from itertools import count
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from leakguard._core.gate import PRIORITIES, GateState, Priority, decide, luck_of
from leakguard._core.policy_table import LEVELS, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from leakguard._core.gate import Refusal
    from leakguard._runtime.work_counter import WorkCounter

#: A closed gate that is not heard of for so long opens.
EXPIRES_SECONDS = 15.0
_HOUR_SECONDS = 3600.0

Steps = dict[Priority, "Callable[[], int]"]


class _Published(NamedTuple):
    """What holds, all of it at once."""

    state: GateState
    expires_at: float
    admitted: Steps
    shed: Steps


class Gate:
    """Lets units of work in, or not, and counts them. Any thread may ask.

    ``begin()`` and ``end()`` go around each unit that came in; ``work`` counts them.
    While it ``is_open``
    whoever comes is let in, and may stay.
    """

    __slots__ = (
        *("_admitted", "_chance", "_clock", "_day_clock", "_forced", "_open"),
        *("_published", "_shed", "begin", "end", "is_open", "work"),
    )

    def __init__(
        self,
        work: WorkCounter,
        *,
        clock: Callable[[], float] = time.monotonic,
        day_clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.work, self.begin, self.end = work, work.begin, work.end
        self._clock, self._day_clock, self._chance = clock, day_clock, chance
        self.reset()

    def reset(self) -> None:
        """Open it, and count from zero, as in a forked child."""
        self._admitted, self._shed = _counters(), _counters()
        self._forced = count()
        self.publish(GateState())

    def publish(self, state: GateState) -> None:
        """Let ``state`` hold from now on; say so again and again while it is closed."""
        now = _Published(
            state,
            inf if state == GateState() else self._clock() + EXPIRES_SECONDS,
            {p: step.__next__ for p, step in self._admitted[state.level].items()},
            {p: step.__next__ for p, step in self._shed[state.level].items()},
        )
        self._published = now
        self.is_open = state.ready and not state.shed_shares
        self._open = {} if state.shed_shares else now.admitted

    def admit(
        self, priority: Priority = "normal", key: str | None = None
    ) -> Refusal | None:
        """Return ``None`` for a unit that may come in, else why not.

        ``key`` tells clients apart, such as a user's name: one with the same key keeps
        its luck for an hour. It is hashed and not kept. A priority that does not exist
        is normal. Cost: below 0.3 µs while the gate is open.
        """
        step = self._open.get(priority)
        if step is not None:
            step()
            return None
        return self._weigh(priority if priority in PRIORITIES else "normal", key)

    @property
    def state(self) -> GateState:
        """What holds now. Cost: below 1 µs."""
        now = self._published
        if now.expires_at <= self._clock():
            self.publish(GateState())
        return self._published.state

    @property
    def level(self) -> Level:
        """The level of pressure, as of the last tick. Cost: below 1 µs."""
        return self.state.level

    @property
    def ready(self) -> bool:
        """Whether new work should be sent here at all. Cost: below 1 µs."""
        return self.state.ready

    def counts(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Return how many came in and were shed, by ``"level/priority"``."""
        return _read(self._admitted), _read(self._shed)

    def _weigh(self, priority: Priority, key: str | None) -> Refusal | None:
        state, now = self.state, self._published
        if isinstance(key, str):
            luck = luck_of(key, int(self._day_clock() // _HOUR_SECONDS))
        else:
            luck = self._chance()
        refusal = decide(state, priority, luck)
        if refusal is not None and priority == "normal" and state.admit_one_in:
            # By turns and not by luck: all may come through one proxy, with one key.
            refusal = refusal if next(self._forced) % state.admit_one_in else None
        (now.admitted if refusal is None else now.shed)[priority]()
        return refusal


class Unit:
    """One unit of work in a ``with`` statement; the same one serves all threads."""

    __slots__ = ("_begin", "_end")

    def __init__(self, gate: Gate) -> None:
        self._begin, self._end = gate.begin, gate.end

    def __enter__(self) -> None:
        self._begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()


def _counters() -> dict[Level, dict[Priority, count[int]]]:
    return {level: {priority: count() for priority in PRIORITIES} for level in LEVELS}


def _read(counters: dict[Level, dict[Priority, count[int]]]) -> dict[str, int]:
    # Read without stepping: its repr is "count(5)" in every version.
    found = {
        f"{level}/{priority}": int(repr(step)[6:-1])
        for level, steps in counters.items()
        for priority, step in steps.items()
    }
    return {name: times for name, times in found.items() if times}
