"""What the kernel and the interpreter say of this process at one moment.

A ``Reading`` is the kernel's view (limits, usage of the control group); a ``Sample``
is the one row of the memory's history that verdict and forecast are made from.
``None`` means "not known", zero means "measured zero". Both are made at every tick,
and so they are tuples, ten times cheaper than frozen dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from leakguard._core.records import Unknown


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit in force and where it comes from.

    ``source`` reads like ``"cgroup2 /app.slice memory.max"``, ``"cgroup1 /docker/ab"``,
    ``"rlimit data"`` or ``"host"``.
    """

    limit_bytes: int
    source: str

    @property
    def is_of_group(self) -> bool:
        """Whether it bounds a control group, and not a process or the machine."""
        return self.source.startswith("cgroup")


class Reading(NamedTuple):
    """What limits this process and what counts against it, at one moment.

    ``limit`` is the lowest of all limits at which something is killed or fails:
    every ancestor group up to the mount root, rlimits, host memory. ``throttle`` is
    the lowest ``memory.high`` below it, where the kernel slows the process down.
    ``binding`` is the limit with the least headroom (usage of an ancestor counts
    siblings too) and ``binding_unreclaimable_bytes`` what is used of it; they differ
    from ``limit`` only when others use up an ancestor. Usage, working set (as the
    kubelet computes it) and unreclaimable bytes are those of the process's own group,
    and so is the peak, the most that it has ever used.
    ``stale_seconds`` is above zero when old values are shown because a read failed.
    """

    limit: Limit | Unknown
    throttle: Limit | None = None
    binding: Limit | None = None
    binding_unreclaimable_bytes: int | None = None
    usage_bytes: int | None = None
    inactive_file_bytes: int | None = None
    working_set_bytes: int | None = None
    unreclaimable_bytes: int | None = None
    peak_usage_bytes: int | None = None
    swap_usage_bytes: int | None = None
    swap_free_bytes: int | None = None
    oom_kills: int | None = None
    limit_hits: int | None = None
    pressure_some_avg10: float | None = None
    pressure_full_avg10: float | None = None
    inexact: bool = False
    stale_seconds: float = 0.0
    failed_reads: int = 0

    @property
    def is_in_container(self) -> bool:
        """Whether the group has a limit, so that its usage is this program's."""
        return isinstance(self.limit, Limit) and self.limit.is_of_group


class Sample(NamedTuple):
    """One row of the memory's history; field names are those of a CSV log.

    ``t_seconds`` only ever grows within one history. ``in_use_bytes`` is what the C
    library's malloc has handed out (it does not see pymalloc's arenas).
    """

    t_seconds: float
    rss_bytes: int | None = None
    in_use_bytes: int | None = None
    python_blocks: int | None = None
    cgroup_usage_bytes: int | None = None
    cgroup_inactive_file_bytes: int | None = None
    cgroup_limit_bytes: int | None = None
    unreclaimable_bytes: int | None = None
    requests_total: int | None = None
    in_flight: int | None = None
