"""What looking costs the program, from processor time inside and outside of looks.

Where units of work are counted, the same unit is compared: what it costs in a window
against what it costs outside. Where they are not, a busy program uses all of its
processor either way, so the slow-down is bounded by what was measured of tracing.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Tracing at one frame runs a program up to 4 times slower (measured 3.3 to 3.7), so
#: of the processor time in a window up to three quarters are lost to the program.
LOST_SHARE = 0.75
#: Units of work outside of windows before their cost is believed.
LEAST_WORK = 20


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time: how long, the process's processor time, work finished.

    ``work`` is ``None`` where nobody counts it. ``waiting_seconds`` is for how long
    threads were ready to run and had no processor. Also the running totals themselves.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    work: int | None = None
    waiting_seconds: float = 0.0

    @property
    def available_seconds(self) -> float:
        """What the program had of the time, or might have had if it was idle.

        A program that the machine or a quota gives half of a processor loses twice the
        share of its speed to the same look.
        """
        return max(self.cpu_seconds, self.seconds - self.waiting_seconds)

    def since(self, earlier: Span) -> Span:
        """Return the stretch between two readings of the running totals.

        What was not counted at first had not begun.
        """
        work = None if self.work is None else self.work - (earlier.work or 0)
        return Span(
            self.seconds - earlier.seconds,
            self.cpu_seconds - earlier.cpu_seconds,
            work,
            # Of threads that have ended nothing is known any more.
            max(0.0, self.waiting_seconds - earlier.waiting_seconds),
        )

    def plus(self, other: Span) -> Span:
        """Return two stretches as one; one whose work is unknown counts none."""
        work = None
        if self.work is not None or other.work is not None:
            work = (self.work or 0) + (other.work or 0)
        seconds = self.seconds + other.seconds
        cpu_seconds = self.cpu_seconds + other.cpu_seconds
        waiting_seconds = self.waiting_seconds + other.waiting_seconds
        return Span(seconds, cpu_seconds, work, waiting_seconds)


NO_TIME = Span()


def lost_seconds(inside: Span, outside: Span) -> float:
    """Return the processor seconds that a window took from the program."""
    if inside.work and outside.work is not None and outside.work >= LEAST_WORK:
        usual = inside.work * outside.cpu_seconds / outside.work
        return max(0.0, inside.cpu_seconds - usual)
    share = outside.cpu_seconds / outside.seconds if outside.seconds > 0 else 0.0
    usual = min(inside.seconds * share, (1 - LOST_SHARE) * inside.cpu_seconds)
    return max(0.0, inside.cpu_seconds - usual)
