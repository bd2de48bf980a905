"""Which limit matters, and what counts against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.limits import (
    Group,
    Groups,
    Host,
    Level,
    judge_limits,
    make_group,
)
from leakguard._core.pressure import pressure_of
from leakguard._core.records import Unknown
from leakguard._core.samples import Limit

if TYPE_CHECKING:
    from leakguard._core.samples import Reading

MIB = 1 << 20
HOST = Host(1024 * MIB, 1000 * MIB, 0)
PAGE = 4096


def stat(**counts: int) -> str:
    return "".join(f"{key} {count}\n" for key, count in counts.items())


def v2(name: str = "/app", **files: object) -> Group:
    return make_group(
        2, name, {role: f"{text}\n" for role, text in files.items()}, PAGE
    )


def v1(name: str = "/app", **files: object) -> Group:
    return make_group(
        1, name, {role: f"{text}\n" for role, text in files.items()}, PAGE
    )


def judged(
    *chain: Group, host: Host = HOST, rlimits: tuple[Level, ...] = ()
) -> Reading:
    return judge_limits(Groups(chain), host, rlimits)


# what is used


def test_the_working_set_is_the_kubelets() -> None:
    group = v2(usage=100, stat=stat(inactive_file=30, active_file=20))
    assert group.working_set_bytes == 70
    assert group.inactive_file_bytes == 30


def test_file_pages_and_reclaimable_slab_are_not_unreclaimable() -> None:
    group = v2(
        usage=100, stat=stat(inactive_file=30, active_file=20, slab_reclaimable=5)
    )
    assert group.unreclaimable_bytes == 45


def test_tmpfs_growth_is_unreclaimable_and_counted_once() -> None:
    lists = {"inactive_file": 30, "active_file": 20}
    before = v2(usage=100, stat=stat(file=50, shmem=0, **lists))
    after = v2(usage=140, stat=stat(file=90, shmem=40, **lists))
    assert before.unreclaimable_bytes is not None
    assert after.unreclaimable_bytes == before.unreclaimable_bytes + 40


def test_version_1_counts_children_under_total() -> None:
    text = stat(
        inactive_file=1, active_file=1, total_inactive_file=30, total_active_file=20
    )
    group = v1(usage=100, stat=text)
    assert (group.working_set_bytes, group.unreclaimable_bytes) == (70, 50)


def test_counts_taken_at_different_moments_never_go_below_zero() -> None:
    group = v2(usage=10, stat=stat(inactive_file=30, active_file=20))
    assert (group.working_set_bytes, group.unreclaimable_bytes) == (0, 0)


def test_without_its_parts_usage_stands_for_what_is_used() -> None:
    group = v2(limit=200, usage=100)
    assert group.working_set_bytes is group.unreclaimable_bytes is None
    assert judged(group).binding_unreclaimable_bytes == 100


def test_nothing_read_is_nothing_known() -> None:
    assert make_group(2, "/", {}, PAGE) == Group("cgroup2 / memory.max")
    assert make_group(1, "/", {}, PAGE) == Group("cgroup1 /")


def test_a_groups_name_can_be_printed_anywhere() -> None:
    group = v2("/\x1b[31m\udcff\u00e9", limit=1)
    assert group.source == r"cgroup2 /\x1b[31m\udcff\xe9 memory.max"


# limits


def test_max_is_no_limit() -> None:
    assert judged(v2(limit="max", usage=5)).limit == Limit(1024 * MIB, "host")


@pytest.mark.parametrize("page_size", [4096, 65536])
def test_the_v1_sentinel_of_any_page_size_is_no_limit(page_size: int) -> None:
    text = f"{(2**63 - 1) // page_size * page_size}\n"
    group = make_group(
        1,
        "/",
        {"limit": text, "stat": f"hierarchical_memory_limit {text}"},
        page_size,
    )
    assert group.limit_bytes is group.inherited_bytes is None


def test_of_all_ancestors_the_lowest_limit_counts() -> None:
    chain = v2("/a/b", limit=300 * MIB), v2("/a", limit=200 * MIB), v2("/", limit="max")
    assert judged(*chain).limit == Limit(200 * MIB, "cgroup2 /a memory.max")


@pytest.mark.parametrize("limit", [1024 * MIB, 4096 * MIB, 2**62])
def test_a_limit_at_or_above_host_memory_is_the_hosts(limit: int) -> None:
    reading = judged(v2(limit=limit, usage=7, stat=stat(inactive_file=1)))
    assert reading.limit == reading.binding == Limit(1024 * MIB, "host")
    assert reading.binding_unreclaimable_bytes == 24 * MIB


@pytest.mark.parametrize("limit", [0, 50])
def test_a_limit_of_zero_or_below_usage_is_exceeded(limit: int) -> None:
    reading = judged(v2(limit=limit, usage=200, stat=stat(inactive_file=0)))
    assert reading.limit == Limit(limit, "cgroup2 /app memory.max")
    ratio = pressure_of(reading).ratio
    assert ratio is not None
    assert ratio > 1


def test_the_v1_child_without_a_limit_has_its_parents() -> None:
    child = v1(
        "/a/b",
        limit=2**63 - PAGE,
        usage=9 * MIB,
        stat=stat(hierarchical_memory_limit=64 * MIB, total_inactive_file=0),
    )
    parent = v1("/a", limit=64 * MIB, usage=60 * MIB)
    reading = judged(child, parent)
    assert reading.limit == Limit(64 * MIB, "cgroup1 /a")
    assert reading.binding_unreclaimable_bytes == 60 * MIB


def test_a_v1_limit_above_the_mount_root_is_seen_in_the_statistics() -> None:
    child = v1("/a", usage=9, stat=stat(hierarchical_memory_limit=64 * MIB))
    assert judged(child).limit == Limit(
        64 * MIB, "cgroup1 /a hierarchical_memory_limit"
    )
    assert judged(child).binding_unreclaimable_bytes == 9


def test_the_host_may_be_unknown() -> None:
    reading = judged(v2(limit=2**62), host=Host())
    assert reading.limit == Limit(2**62, "cgroup2 /app memory.max")
    assert reading.binding is None
    assert pressure_of(reading).ratio is None


def test_rlimits_count_beside_groups() -> None:
    rlimits = Level(300, "rlimit data", 250), Level(900, "rlimit as", None)
    reading = judged(v2(limit=500, usage=1), rlimits=rlimits)
    assert reading.limit == reading.binding == Limit(300, "rlimit data")
    assert reading.binding_unreclaimable_bytes == 250


def test_without_a_group_the_fallback_says_so() -> None:
    hidden = Groups(missing="no /proc/self/cgroup to read")
    why = "(no cgroup: no /proc/self/cgroup to read)"
    assert judge_limits(hidden, HOST, ()).limit == Limit(1024 * MIB, f"host {why}")
    reading = judge_limits(hidden, Host(), (Level(5, "rlimit as", None),))
    assert reading.limit == Limit(5, f"rlimit as {why}")
    assert reading.binding is None
    assert reading.usage_bytes is None


def test_where_no_limit_can_be_read_the_value_says_unsupported() -> None:
    hidden = Groups(missing="no /proc/self/cgroup to read")
    assert judge_limits(hidden, Host(), ()).limit == Unknown(
        "unsupported: no /proc/self/cgroup to read, and the machine's memory is hidden"
    )
    assert judged(v2(limit="max"), host=Host()).limit == Unknown(
        "unsupported: no limit is set, and the machine's memory is hidden"
    )


# which level binds


def test_an_ancestor_used_up_by_siblings_binds() -> None:
    own = v2("/a/b", limit=100 * MIB, usage=20 * MIB, stat=stat(inactive_file=0))
    parent = v2("/a", limit=300 * MIB, usage=290 * MIB, stat=stat(inactive_file=MIB))
    reading = judged(own, parent)
    assert reading.limit == Limit(100 * MIB, "cgroup2 /a/b memory.max")
    assert reading.binding == Limit(300 * MIB, "cgroup2 /a memory.max")
    assert reading.binding_unreclaimable_bytes == 289 * MIB
    assert reading.unreclaimable_bytes == 20 * MIB


def test_a_sibling_process_that_grows_is_not_this_group() -> None:
    own = v2("/pod/me", usage=20, stat=stat(inactive_file=0))
    pod = [
        v2("/pod", limit=400, usage=used, stat=stat(inactive_file=0))
        for used in (100, 390)
    ]
    before, after = (judged(own, parent) for parent in pod)
    assert before.unreclaimable_bytes == after.unreclaimable_bytes == 20
    assert (before.binding_unreclaimable_bytes, after.binding_unreclaimable_bytes) == (
        100,
        390,
    )


def test_a_full_host_binds_before_a_roomy_group() -> None:
    group = v2(limit=512 * MIB, usage=MIB, stat=stat(inactive_file=0))
    reading = judged(group, host=Host(1024 * MIB, 10 * MIB, 0))
    assert reading.binding == Limit(1024 * MIB, "host")
    assert reading.binding_unreclaimable_bytes == 1014 * MIB


def test_a_page_cache_burst_moves_neither_pressure_nor_unreclaimable() -> None:
    quiet = v2(limit=200, usage=60, stat=stat(inactive_file=10, active_file=0))
    burst = v2(limit=200, usage=199, stat=stat(inactive_file=99, active_file=50))
    before, after = judged(quiet), judged(burst)
    assert before.unreclaimable_bytes == after.unreclaimable_bytes == 50
    assert pressure_of(before).ratio == pressure_of(after).ratio == 0.25


sizes = st.integers(0, 2**40)
chains = st.lists(
    st.builds(
        v2, limit=sizes | st.just("max"), high=sizes | st.just("max"), usage=sizes
    ),
    max_size=4,
)


@given(chains, sizes, sizes)
def test_no_level_is_below_the_limit_and_none_has_less_headroom(
    chain: list[Group], total: int, available: int
) -> None:
    reading = judged(*chain, host=Host(total, available, 0))
    limits = [group.limit_bytes for group in chain if group.limit_bytes is not None]
    assert isinstance(reading.limit, Limit)
    assert reading.limit.limit_bytes == min([*limits, total])
    assert reading.binding is not None
    assert reading.binding_unreclaimable_bytes is not None
    headroom = reading.binding.limit_bytes - reading.binding_unreclaimable_bytes
    for group in chain:
        if group.limit_bytes is not None and group.limit_bytes < total:
            assert group.usage_bytes is not None
            assert headroom <= group.limit_bytes - group.usage_bytes
    if reading.throttle:
        assert reading.throttle.limit_bytes < reading.limit.limit_bytes


# throttle and swap


def test_memory_high_below_the_limit_throttles_and_does_not_limit() -> None:
    chain = (
        v2("/a/b", limit=300 * MIB, high=280 * MIB),
        v2("/a", limit="max", high=250 * MIB),
    )
    reading = judged(*chain)
    assert reading.limit == Limit(300 * MIB, "cgroup2 /a/b memory.max")
    assert reading.throttle == Limit(250 * MIB, "cgroup2 /a memory.high")


def test_memory_high_at_or_above_the_limit_throttles_nothing() -> None:
    assert judged(v2(limit=300, high=300)).throttle is None
    assert judged(v2(limit="max", high="max")).throttle is None
    assert judged(v2(high=7), host=Host()).throttle == Limit(
        7, "cgroup2 /app memory.high"
    )


def test_swap_still_free_is_the_least_of_group_ancestors_and_host() -> None:
    chain = v2("/a/b", swap=10, swap_limit=50), v2("/a", swap=25, swap_limit=60)
    reading = judged(*chain, host=HOST._replace(swap_free_bytes=1000))
    assert reading.swap_usage_bytes == 10
    assert reading.swap_free_bytes == 35
    assert judged(*chain).swap_free_bytes == 0
    assert judged(v2(swap_limit="max"), host=Host()).swap_free_bytes is None


def test_v1_swap_is_what_memsw_leaves_beside_memory() -> None:
    text = stat(
        hierarchical_memory_limit=100 * MIB,
        hierarchical_memsw_limit=150 * MIB,
        total_swap=20 * MIB,
    )
    host = HOST._replace(swap_free_bytes=500 * MIB)
    reading = judged(v1(stat=text), host=host)
    assert reading.swap_usage_bytes == 20 * MIB
    assert reading.swap_free_bytes == 30 * MIB
    equal = text.replace(str(150 * MIB), str(100 * MIB))
    assert judged(v1(stat=equal), host=host).swap_free_bytes == 0


def test_without_memsw_the_hosts_swap_is_free() -> None:
    absent = v1(stat=stat(hierarchical_memory_limit=100 * MIB))
    unlimited = v1(
        stat=stat(
            hierarchical_memory_limit=100 * MIB, hierarchical_memsw_limit=2**63 - PAGE
        )
    )
    host = HOST._replace(swap_free_bytes=500)
    for group in (absent, unlimited):
        assert judged(group, host=host).swap_free_bytes == 500
        assert group.swap_usage_bytes is None
