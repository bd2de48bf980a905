"""The simulated histories are consistent: what a verdict is checked with must hold."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

import pytest

from leakguard._core.records import VerdictKind
from tests.simulated.families import FAMILIES, History, histories, history
from tests.simulated.memory import MIB, PAGE_BYTES, Base, Draw, Memory

if TYPE_CHECKING:
    from leakguard._core.samples import Sample

LABEL = {"frag": "fragmentation"}
RESTARTING = ("restart", "deploy", "oom")
SLACK_BYTES = MIB
#: The program's own counters may be so many samples old.
MOST_STALE = 8


@cache
def _history(family: str) -> History:
    return history(family, 1)


each = pytest.mark.parametrize("family", FAMILIES)


def _column(samples: list[Sample], name: str) -> list[int]:
    values = [getattr(sample, name) for sample in samples]
    return [] if None in values else values


@each
def test_time_only_grows(family: str) -> None:
    times = [sample.t_seconds for sample in _history(family).samples]
    assert all(earlier < later for earlier, later in pairwise(times))


@each
def test_labels_are_verdicts_and_leaks_have_a_rate(family: str) -> None:
    found = _history(family)
    kind = family.split("_", maxsplit=1)[0]
    assert found.label == LABEL.get(kind, kind)
    assert {found.label, *found.also_ok} <= set(get_args(VerdictKind))
    assert found.label not in found.also_ok
    if found.label == "leak":
        assert found.rate_bytes_per_second is not None
        assert 100 < found.rate_bytes_per_second < 50 * MIB


@each
def test_columns_show_what_they_say(family: str) -> None:
    found = _history(family)
    for name, there in {
        "rss_bytes": found.columns != "cgroup",
        "in_use_bytes": found.columns == "rss+heap",
        "python_blocks": found.columns == "rss+heap",
        "cgroup_usage_bytes": True,
        "cgroup_limit_bytes": True,
    }.items():
        assert bool(_column(found.samples, name)) is there, name


@each
def test_columns_agree_with_each_other(family: str) -> None:
    for sample in _history(family).samples:
        usage, limit = sample.cgroup_usage_bytes, sample.cgroup_limit_bytes
        assert usage is not None
        assert limit is not None
        # A log of four digits may round up.
        assert 0 < usage <= limit * 1.001
        assert 0 <= (sample.cgroup_inactive_file_bytes or 0) < usage
        if sample.rss_bytes is not None:
            assert sample.rss_bytes % PAGE_BYTES == 0
            # Shared libraries are charged elsewhere, nothing else is.
            assert sample.rss_bytes - usage <= 13 * MIB


@each
def test_what_is_in_use_is_resident(family: str) -> None:
    if family == "cache_touched_array":
        pytest.skip("what is got and not yet written is in use and not resident")
    samples = _history(family).samples
    resident = _column(samples, "rss_bytes")
    for row, in_use_bytes in enumerate(_column(samples, "in_use_bytes")):
        lately = resident[max(0, row - MOST_STALE) : row + 1]
        assert 0 < in_use_bytes <= max(lately)
    assert all(count >= 0 for count in _column(samples, "python_blocks"))


@each
def test_counters_fall_only_when_a_life_begins(family: str) -> None:
    found = _history(family)
    requests = _column(found.samples, "requests_total")
    falls = sum(later < earlier for earlier, later in pairwise(requests))
    assert falls == 0 or any(word in family for word in RESTARTING)
    assert all(count >= 0 for count in _column(found.samples, "in_flight"))


@each
def test_the_same_seed_gives_the_same_history(family: str) -> None:
    assert history(family, 1) == _history(family)
    assert history(family, 2).samples != _history(family).samples


@pytest.mark.parametrize("family", [name for name in FAMILIES if "leak_" in name])
def test_a_leak_shows_in_some_column(family: str) -> None:
    found = _history(family)
    assert found.rate_bytes_per_second is not None
    if any(word in family for word in RESTARTING):
        pytest.skip("what a life leaks ends with it")
    names = ("rss_bytes", "in_use_bytes", "cgroup_usage_bytes")
    fifth = len(found.samples) // 5
    grown = 0
    for column in (_column(found.samples, name) for name in names):
        if column:
            grown = max(grown, min(column[-fifth:]) - min(column[:fifth]))
    seconds = found.samples[-1].t_seconds - found.samples[0].t_seconds
    assert grown > 0.2 * found.rate_bytes_per_second * seconds


def test_every_family_gives_one_history() -> None:
    names = [found.name for found in histories(3)]
    assert names == [f"{family}-3" for family in FAMILIES]
    assert len(names) >= 45


def _memory(retention: float) -> Memory:
    base = Base(
        shared_bytes=10 * MIB,
        private_bytes=MIB,
        heap_bytes=5 * MIB,
        free_bytes=0,
        blocks=1000,
        retention=retention,
        small_bytes=100,
    )
    return Memory(base)


@pytest.mark.parametrize("kind", ["native", "body", "big"])
def test_memory_given_back_leaves_rss_by_retention(kind: str) -> None:
    for retention, stays in ((0.0, 0.0), (1.0, 10 * MIB)):
        memory = _memory(retention)
        before = memory.rss_bytes
        memory.add(kind, 10 * MIB, 100)
        assert memory.rss_bytes - before == pytest.approx(10 * MIB, abs=SLACK_BYTES)
        assert memory.in_use_bytes == pytest.approx(15 * MIB, abs=SLACK_BYTES)
        memory.add(kind, -10 * MIB, -100)
        expected = 0.0 if kind == "big" else stays
        assert memory.rss_bytes - before == pytest.approx(expected, abs=SLACK_BYTES)


def test_free_heap_is_used_again_and_holes_are_not() -> None:
    memory = _memory(retention=1.0)
    memory.add("native", 10 * MIB)
    memory.add("native", -10 * MIB)
    before = memory.rss_bytes
    memory.add("native", 9 * MIB)
    assert memory.rss_bytes - before <= PAGE_BYTES
    memory.add("native", -9 * MIB)
    memory.pin(9 * MIB, 0, 0)
    memory.add("native", 9 * MIB)
    assert memory.rss_bytes - before == pytest.approx(8 * MIB, abs=SLACK_BYTES)


def test_small_objects_are_no_business_of_malloc() -> None:
    memory = _memory(retention=0.0)
    rss, in_use, blocks = memory.rss_bytes, memory.in_use_bytes, memory.blocks
    memory.add("small", 10 * MIB)
    assert memory.in_use_bytes == in_use
    assert memory.rss_bytes - rss == pytest.approx(10 * MIB, abs=SLACK_BYTES)
    assert memory.blocks - blocks == pytest.approx(10 * MIB / 100)


def test_draws_have_the_mean_they_are_asked_for() -> None:
    draw = Draw(5)
    for mean in (0.0, 0.5, 7.0, 80.0):
        counts = [draw.poisson(mean) for _ in range(4000)]
        assert sum(counts) / 4000 == pytest.approx(mean, rel=0.08)
