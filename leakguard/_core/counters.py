"""What the guard has done about pressure so far, as records of names and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._core.policy import Transition


@dataclass(frozen=True, slots=True)
class Relief:
    """One relief that ran: what it gave back, and what it cost.

    ``freed_bytes`` is what resident memory fell by meanwhile, below zero when the
    program grew by more; ``error`` is the type of the exception that ended it.
    """

    name: str
    at_seconds: float
    seconds: float
    freed_bytes: int | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """What happened since the start of the process, or since its fork.

    ``transitions`` are counted by the level entered, ``actions`` asked for by kind,
    ``admitted`` and ``shed`` by level and priority (``"critical/normal"``); what never
    happened is missing, and so are requests that came while none was refused.
    ``failed_ticks`` are looks at the memory that failed. The last transitions and
    reliefs come oldest first; ``disabled`` names the reliefs that failed or hung too
    often and are not run any more. ``recycles_asked`` is how often the server was
    asked to replace this worker, ``last_recycle_reason`` why, or else why not.
    ``failed_records`` are flight records that could not be written.
    """

    transitions: Mapping[str, int] = field(default_factory=dict)
    actions: Mapping[str, int] = field(default_factory=dict)
    admitted: Mapping[str, int] = field(default_factory=dict)
    shed: Mapping[str, int] = field(default_factory=dict)
    failed_ticks: int = 0
    last_transitions: tuple[Transition, ...] = ()
    last_reliefs: tuple[Relief, ...] = ()
    disabled: tuple[str, ...] = ()
    recycles_asked: int = 0
    last_recycle_reason: str | None = None
    failed_records: int = 0
