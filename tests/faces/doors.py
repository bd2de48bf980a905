"""A guard of the tests' own: a real gate, opened and closed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from leakguard._core.gate import GateState
from leakguard._runtime.gate import Gate
from leakguard._runtime.work_counter import Work, WorkCounter

if TYPE_CHECKING:
    from leakguard._core.gate import Priority, Refusal
    from leakguard.guard import Guard

RETRY_SECONDS = 7


class Doorman:
    """Stands in for a guard; ``keys`` are those the gate was asked with."""

    def __init__(self) -> None:
        self._work = WorkCounter()
        self._work.by_route = True
        self.keys: list[str | None] = []
        self.starts = 0
        self.gate = _Noting(self._work, self.keys)

    @property
    def guard(self) -> Guard:
        return cast("Guard", self)

    def start(self) -> None:
        self.starts += 1

    def close(self, *, ready: bool = False, sheddable: float = 1.0) -> None:
        """Refuse all that is normal, and a share of what is sheddable."""
        shares: dict[Priority, float] = {"normal": 1.0, "sheddable": sheddable}
        state = GateState(
            "critical",
            shares,
            ready,
            "memory is at 97 % of its limit",
            (RETRY_SECONDS, RETRY_SECONDS),
            admit_one_in=0,
        )
        self.gate.publish(state)

    def routes(self) -> dict[str, int]:
        """Return how many requests each route has served."""
        return self._work.read_routes()

    def work(self) -> tuple[int, int]:
        """Return how many requests have finished, and how many are under way."""
        found = self._work.read() or Work(0, 0)
        return found.finished, found.in_flight


class _Noting(Gate):
    __slots__ = ("keys",)

    def __init__(self, work: WorkCounter, keys: list[str | None]) -> None:
        super().__init__(work, clock=lambda: 0.0)
        self.keys = keys

    def admit(
        self, priority: Priority = "normal", key: str | None = None
    ) -> Refusal | None:
        self.keys.append(key)
        return super().admit(priority, key)
