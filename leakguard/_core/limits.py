"""From what the kernel counts to the limit that matters and what is used of it.

Rules of this file: pure; a number that was not read is ``None`` and never zero.
``memory.low``, ``memory.min`` and version 1's soft limit are no limits: at none of
them is anything slowed, killed or refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from leakguard._core.cgroups import bounded, parse_count, parse_counts, printable
from leakguard._core.records import Unknown
from leakguard._core.samples import Limit, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What ``memory.stat`` is asked for: version 1 counts a group's children under total_
#: only, and tells no reclaimable slab.
_STAT_KEYS: Final = {
    1: (
        *("total_inactive_file", "total_active_file", "total_swap"),
        *("hierarchical_memory_limit", "hierarchical_memsw_limit"),
    ),
    2: ("inactive_file", "active_file", "slab_reclaimable"),
}


class Level(NamedTuple):
    """One limit in force and what counts against it; ``None`` is not known."""

    limit_bytes: int
    source: str
    used_bytes: int | None


class Host(NamedTuple):
    """The machine's memory; ``None`` where it cannot be read."""

    total_bytes: int | None = None
    available_bytes: int | None = None
    swap_free_bytes: int | None = None


class Group(NamedTuple):
    """A control group's numbers; a limit is ``None`` where there is none.

    ``inherited_bytes`` is version 1's ``hierarchical_memory_limit``, which counts
    groups above the mount root as well.
    """

    source: str
    limit_bytes: int | None = None
    high_bytes: int | None = None
    inherited_bytes: int | None = None
    usage_bytes: int | None = None
    inactive_file_bytes: int | None = None
    working_set_bytes: int | None = None
    unreclaimable_bytes: int | None = None
    swap_usage_bytes: int | None = None
    swap_limit_bytes: int | None = None

    @property
    def used_bytes(self) -> int | None:
        """What counts against the limit: all usage, where no more is known of it."""
        if self.unreclaimable_bytes is None:
            return self.usage_bytes
        return self.unreclaimable_bytes


def make_group(
    version: int, name: str, files: Mapping[str, str], page_size: int
) -> Group:
    """Return the group's numbers from its files' text.

    ``files`` holds any of *limit*, *usage*, *stat*, and in version 2 *high*, *swap*
    and *swap_limit*. Version 1 has its swap in *stat*, and so what swap may still be
    used is its limit of memory and swap together, less that of memory.

    The working set is the kubelet's: usage without inactive file pages
    (``setMemoryStats`` in cAdvisor's container/libcontainer/handler.go).
    Unreclaimable is usage without what the kernel can drop, file pages and
    reclaimable slab. Pages of tmpfs and shared memory, which it cannot drop, stand on
    the lists of *anonymous* memory (see ``inactive_anon`` in cgroup-v2.rst): they are
    still in it, and adding ``shmem`` would count them twice.
    """
    stat = parse_counts(files.get("stat", ""), _STAT_KEYS[version])
    usage = parse_count(files.get("usage", ""))
    total = "total_" if version == 1 else ""
    inactive = stat.get(f"{total}inactive_file")
    active = stat.get(f"{total}active_file", 0)
    working_set = _without(usage, inactive)
    inherited = bounded(stat.get("hierarchical_memory_limit"), page_size)
    both = bounded(stat.get("hierarchical_memsw_limit"), page_size)
    return Group(
        source=f"cgroup{version} {printable(name)}"
        + (" memory.max" if version == 2 else ""),
        limit_bytes=bounded(parse_count(files.get("limit", "")), page_size),
        high_bytes=parse_count(files.get("high", "")),
        inherited_bytes=inherited,
        usage_bytes=usage,
        inactive_file_bytes=inactive,
        working_set_bytes=working_set,
        unreclaimable_bytes=_without(
            working_set, active + stat.get("slab_reclaimable", 0)
        ),
        swap_usage_bytes=stat.get("total_swap", parse_count(files.get("swap", ""))),
        swap_limit_bytes=_without(both, inherited)
        if version == 1
        else parse_count(files.get("swap_limit", "")),
    )


def _without(size_bytes: int | None, part_bytes: int | None) -> int | None:
    if size_bytes is None or part_bytes is None:
        return None
    # The kernel updates the two at different moments, or the limit was lowered.
    return max(0, size_bytes - part_bytes)


class Groups(NamedTuple):
    """What was read of this process's control group and those above it.

    ``chain`` begins with its own group; ``missing`` says why there is none.
    """

    chain: tuple[Group, ...] = ()
    missing: str | None = None
    inexact: bool = False
    peak_usage_bytes: int | None = None
    oom_kills: int | None = None
    limit_hits: int | None = None
    pressure_some_avg10: float | None = None
    pressure_full_avg10: float | None = None
    stale_seconds: float = 0.0
    failed_reads: int = 0


def judge_limits(groups: Groups, host: Host, rlimits: Sequence[Level]) -> Reading:
    """Return the limit in force, what binds and what is used."""
    own = groups.chain[0] if groups.chain else Group("")
    levels = _levels(groups, host, rlimits)
    lowest = min(levels, key=lambda level: level.limit_bytes, default=None)
    binding = min(levels, key=_headroom_bytes, default=None)
    if binding is not None and binding.used_bytes is None:
        binding = None
    return Reading(
        limit=_limit(lowest) or Unknown(f"unsupported: {_why_none(groups)}"),
        throttle=_throttle(groups.chain, lowest),
        binding=_limit(binding),
        binding_unreclaimable_bytes=binding.used_bytes if binding else None,
        usage_bytes=own.usage_bytes,
        inactive_file_bytes=own.inactive_file_bytes,
        working_set_bytes=own.working_set_bytes,
        unreclaimable_bytes=own.unreclaimable_bytes,
        peak_usage_bytes=groups.peak_usage_bytes,
        swap_usage_bytes=own.swap_usage_bytes,
        swap_free_bytes=_swap_free_bytes(groups.chain, host),
        oom_kills=groups.oom_kills,
        limit_hits=groups.limit_hits,
        pressure_some_avg10=groups.pressure_some_avg10,
        pressure_full_avg10=groups.pressure_full_avg10,
        inexact=groups.inexact,
        stale_seconds=groups.stale_seconds,
        failed_reads=groups.failed_reads,
    )


def _levels(groups: Groups, host: Host, rlimits: Sequence[Level]) -> list[Level]:
    levels = [
        Level(group.limit_bytes, group.source, group.used_bytes)
        for group in groups.chain
        if group.limit_bytes is not None
    ]
    own = groups.chain[0] if groups.chain else Group("")
    if own.inherited_bytes is not None:
        # Last, so that a group in sight is named before one that is not.
        source = f"{own.source} hierarchical_memory_limit"
        levels.append(Level(own.inherited_bytes, source, own.used_bytes))
    fallback = f" (no cgroup: {groups.missing})" if groups.missing else ""
    outer = list(rlimits)
    if host.total_bytes is not None:
        # A limit that the machine does not reach limits nothing.
        levels = [level for level in levels if level.limit_bytes < host.total_bytes]
        used = _without(host.total_bytes, host.available_bytes)
        outer.append(Level(host.total_bytes, "host", used))
    if fallback:
        outer = [level._replace(source=level.source + fallback) for level in outer]
    return levels + outer


def _why_none(groups: Groups) -> str:
    return f"{groups.missing or 'no limit is set'}, and the machine's memory is hidden"


def _headroom_bytes(level: Level) -> float:
    # Below zero when the limit is exceeded: the most exceeded one binds.
    if level.used_bytes is None:
        return math.inf
    return level.limit_bytes - level.used_bytes


def _limit(level: Level | None) -> Limit | None:
    return level and Limit(level.limit_bytes, level.source)


def _throttle(chain: Sequence[Group], lowest: Level | None) -> Limit | None:
    highs = [
        Limit(group.high_bytes, group.source.removesuffix("max") + "high")
        for group in chain
        if group.high_bytes is not None
        and (lowest is None or group.high_bytes < lowest.limit_bytes)
    ]
    return min(highs, key=lambda high: high.limit_bytes, default=None)


def _swap_free_bytes(chain: Sequence[Group], host: Host) -> int | None:
    free = [_without(group.swap_limit_bytes, group.swap_usage_bytes) for group in chain]
    known = [size for size in (host.swap_free_bytes, *free) if size is not None]
    return min(known, default=None)
