"""How far memory use rises for moments, and so how much must stay free for that.

Rules of this file: pure. What goes up and comes down again is a surge; what goes up
and stays is growth. A request that needs much memory for a moment kills at the limit
as surely as a leak does, so what one has needed is expected of the next.

What it needed may stay, too: glibc gives the free top of a thread's heap back to
nobody, not even when it is trimmed (malloc_trim(3) trims the main one's). Such growth
comes in steps; when there were two of a size, the next is expected.
"""

from __future__ import annotations

from heapq import nlargest
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A surge has to come down again within so many looks.
LOOKS = 16
#: What one process needs for a moment so many may need at once, or it twice.
AT_ONCE = 2
#: A surge within so many looks is brief: it comes on top of what was used lately.
BRIEF_LOOKS = 3
#: After so long the expectation is half of what it was.
HALF_LIFE_SECONDS = 300.0
#: Looks that lie further apart show no step; a step has stayed after so long, and is
#: remembered for so long; of all the largest.
STEP_SECONDS, STAYS_SECONDS, STEPS_SECONDS, MOST_STEPS = 1.5, 1.5, 300.0, 8


class Look(NamedTuple):
    """What was used at a look, and the most that was since the one before."""

    used_bytes: int
    peak_bytes: int


class Step(NamedTuple):
    """A rise between two looks."""

    at_seconds: float
    before_bytes: int
    size_bytes: int

    def has_stayed(self, at_seconds: float | None) -> bool:
        """Return whether a look at that time has found it lasting."""
        return at_seconds is not None and at_seconds - self.at_seconds >= STAYS_SECONDS


class Surge(NamedTuple):
    """The last looks, and the surge that must be expected, as of the last of them.

    ``brief_bytes`` is as much of it as comes and goes between a few of them.
    """

    looks: tuple[Look, ...] = ()
    expected_bytes: float = 0.0
    at_seconds: float | None = None
    steps: tuple[Step, ...] = ()
    brief_bytes: float = 0.0

    @property
    def step(self) -> Step | None:
        """The step that must be expected to come again: the second largest."""
        stayed = [step for step in self.steps if step.has_stayed(self.at_seconds)]
        if len(stayed) < 2:
            return None
        return sorted(stayed, key=lambda step: step.size_bytes)[-2]

    @property
    def step_bytes(self) -> int:
        """By how much memory must be expected to rise and stay."""
        return self.step.size_bytes if self.step is not None else 0

    @property
    def rise_bytes(self) -> float:
        """By how much memory must be expected to rise, whatever becomes of it."""
        return max(self.expected_bytes, self.step_bytes)

    def with_own(self, own: Surge) -> Surge:
        """Return what all may need for moments, where one process needs its ``own``."""
        expected_bytes = max(self.expected_bytes, AT_ONCE * own.expected_bytes)
        brief_bytes = max(self.brief_bytes, own.brief_bytes)
        return self._replace(expected_bytes=expected_bytes, brief_bytes=brief_bytes)

    @property
    def used_bytes(self) -> int:
        """What is used at the last look, or will be when the surge comes again."""
        used = [look.used_bytes for look in self.looks]
        return max(
            used[-1] + self.step_bytes,
            min(used[-BRIEF_LOOKS:]) + round(self.brief_bytes),
            min(used) + round(self.expected_bytes),
        )


def looked(
    surge: Surge, at_seconds: float, used_bytes: int, peak_bytes: int = 0
) -> Surge:
    """Return what is to be expected after a look. Cost: about 5 µs.

    ``peak_bytes`` is the most that was used since the last look, where that is known.
    """
    look = Look(used_bytes, max(used_bytes, peak_bytes))
    looks = (*surge.looks[1 - LOOKS :], look)
    known = surge.at_seconds
    passed = 0.0 if known is None else max(0.0, at_seconds - known)
    left = 0.5 ** (passed / HALF_LIFE_SECONDS)
    expected_bytes = _expected(looks, surge.expected_bytes * left)
    brief_bytes = _expected(looks[-BRIEF_LOOKS:], surge.brief_bytes * left)
    steps = _steps(surge, at_seconds, used_bytes)
    return Surge(looks, expected_bytes, at_seconds, steps, brief_bytes)


def _expected(looks: Sequence[Look], known_bytes: float) -> float:
    """Return the larger of what is known and of what these looks show."""
    if max(one.peak_bytes for one in looks) - looks[-1].used_bytes <= known_bytes:
        return known_bytes  # the usual, and quicker
    return max(known_bytes, float(_risen_bytes(looks)))


def _risen_bytes(looks: Sequence[Look]) -> int:
    """Return by how much memory had risen in these looks that has come down again."""
    # What only falls in the looks had not risen in them: it has gone for good.
    lows = accumulate((one.used_bytes for one in looks), min)
    used_bytes = looks[-1].used_bytes
    return max(
        one.peak_bytes - max(before_bytes, used_bytes)
        for one, before_bytes in zip(looks, lows, strict=True)
    )


def _steps(surge: Surge, at_seconds: float, used_bytes: int) -> tuple[Step, ...]:
    """Return the steps that are remembered after a look."""
    known = surge.at_seconds
    steps = [
        step
        for step in surge.steps
        if 0 <= at_seconds - step.at_seconds <= STEPS_SECONDS
        and (
            step.has_stayed(known)
            or used_bytes >= step.before_bytes + step.size_bytes / 2
        )
    ]
    if surge.looks and known is not None and 0 < at_seconds - known <= STEP_SECONDS:
        before_bytes = surge.looks[-1].used_bytes
        if used_bytes > before_bytes:
            steps.append(Step(at_seconds, before_bytes, used_bytes - before_bytes))
    if len(steps) <= MOST_STEPS:
        return tuple(steps)
    return tuple(nlargest(MOST_STEPS, steps, key=lambda step: step.size_bytes))
