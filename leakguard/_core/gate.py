"""Which units of work stay outside while memory is short: shares, luck, refusals.

Rules of this file: pure, and cheap, for a refusal must cost less than the work. Work
that has begun is never asked about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

from leakguard._core.policy_table import threshold_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._core.policy import PolicyState
    from leakguard._core.policy_table import Level, Policy

#: Critical and exempt work is admitted whatever happens; sheddable work goes first.
Priority = Literal["critical", "normal", "sheddable", "exempt"]
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
#: Whether trying again later can help here: not when the memory that is short leaks.
Durability = Literal["transient", "permanent"]

#: At the limit itself so many times fewer of the refused are admitted.
FEWER_AT_THE_LIMIT: Final = 10

_PRIME, _BITS64 = 2**61 - 1, 2**64 - 1
#: A share's digits from here on spread the waits of clients with similar luck.
_LATER_DIGITS: Final = 7919


@dataclass(frozen=True, slots=True)
class GateState:
    """How far the gate is closed. ``shed_shares`` by priority; none of what is missing.

    One in ``admit_one_in`` of the normal units that would be refused comes in
    nevertheless, so that there is always some progress; 0 is none.
    """

    level: Level = "ok"
    shed_shares: Mapping[Priority, float] = field(default_factory=dict)
    ready: bool = True
    reason: str = "memory is not short"
    retry_after_seconds: tuple[int, int] = (2, 8)
    durability: Durability = "transient"
    admit_one_in: int = 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a unit of work has to stay outside, and when to try again.

    ``reason`` is a phrase about the memory. ``durability`` is ``"permanent"`` when the
    memory that is short leaks: then another replica is the better bet.
    """

    level: Level
    reason: str
    retry_after_seconds: int
    durability: Durability


def decide(state: GateState, priority: Priority, luck: float) -> Refusal | None:
    """Return a refusal for the unlucky, or ``None``. Cost: about 1 µs.

    ``luck`` is a number from 0 to below 1; the share with the least of it is shed.
    """
    if luck >= state.shed_shares.get(priority, 0.0):
        return None
    first, last = state.retry_after_seconds
    wait_seconds = first + int(luck * _LATER_DIGITS % 1 * (last - first + 1))
    return Refusal(state.level, state.reason, wait_seconds, state.durability)


def luck_of(key: str, hour: int) -> float:
    """Return a client's luck for an hour, from 0 to below 1; the same everywhere.

    A client is then either served or not, instead of failing at every third page (as
    in Tencent's DAGOR, section 4.2). Cost: about 1 µs for a short key. The key's bytes
    modulo a prime, mixed by the finaliser of splitmix64: no module to import, unlike
    for hashlib and zlib.
    """
    text = f"{hour}:{key}".encode("utf-8", "replace")
    mixed = int.from_bytes(text, "little") % _PRIME + 0x9E3779B97F4A7C15
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _BITS64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _BITS64
    return ((mixed ^ mixed >> 31) >> 11) / 2**53


def gate_state(policy: Policy, state: PolicyState) -> GateState:
    """Return how far the gate is closed at the level of pressure that holds."""
    lasting = () if policy.dry_run else policy.actions[state.level]
    shares: dict[Priority, float] = {}
    if "shed" in lasting:
        share = _sheddable_share(policy, state)
        shares = {"sheddable": share} if share else {}
        if state.level == "critical":
            shares["normal"] = 1.0
    leaks = state.time_to_limit_seconds is not None and not state.is_falling
    return GateState(
        state.level,
        shares,
        "unready" not in lasting,
        state.at,
        policy.retry_after_seconds.get(state.level, (0, 0)),
        "permanent" if leaks else "transient",
        _admit_one_in(policy, state),
    )


def _admit_one_in(policy: Policy, state: PolicyState) -> int:
    """Return of how many one comes in nevertheless: ever fewer towards the limit.

    None where one more surge would go beyond it; that expectation fades by itself.
    """
    if (state.ratio or 0.0) < 1.0 <= state.highest_ratio:
        return 0
    critical = threshold_of(policy, "critical", state.floor_ratio)
    near = _scaled(state.highest_ratio, critical.enter_ratio, 1.0)
    return round(policy.admit_one_in * (1 + near * (FEWER_AT_THE_LIMIT - 1)))


def _sheddable_share(policy: Policy, state: PolicyState) -> float:
    """Return how far the pressure is on its way from this level to critical.

    As a scaled trigger of Envoy's overload manager, (p - lo) / (hi - lo).
    """
    low = threshold_of(policy, state.level, state.floor_ratio)
    top = threshold_of(policy, "critical", state.floor_ratio)
    if state.level == "critical":
        return 1.0
    share = _scaled(state.highest_ratio, low.enter_ratio, top.enter_ratio)
    left = state.time_to_limit_seconds
    if left is None or state.is_falling:
        return share
    return max(share, _scaled(-left, -low.hurry_seconds, -top.hurry_seconds))


def _scaled(pressure: float, low: float, high: float) -> float:
    if pressure <= low:
        return 0.0
    return 1.0 if pressure >= high else (pressure - low) / (high - low)
