"""The table of settings that hurt: when each row speaks, and in which order."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from leakguard._core.advice import TABLE, Finding, advise
from leakguard._core.records import Unknown
from leakguard._core.samples import Limit, Reading
from leakguard._core.settings import Settings

MIB = 1 << 20
LIMIT = Limit(512 * MIB, "cgroup2 /app memory.max")
PLAIN = Settings(
    reading=Reading(
        limit=LIMIT,
        binding=LIMIT,
        binding_unreclaimable_bytes=100 * MIB,
        oom_kills=0,
        swap_free_bytes=0,
    ),
    rss_bytes=100 * MIB,
    platform="linux",
    version=(3, 12, 9),
    debug_build=False,
    development_mode=False,
    free_threaded=False,
    gil_enabled=True,
    allocator="glibc 2.36",
    heap_is_visible=True,
    python_blocks=50_000,
    environ=MappingProxyType({"MALLOC_ARENA_MAX": "2"}),
    cpus=8,
    gc_enabled=True,
    gc_threshold=(700, 10, 10),
    gc_debug=0,
    gc_frozen=375,
    gc_callbacks=0,
    traced_frames=0,
    oom_group=False,
    oom_kill_disabled=None,
    huge_pages="madvise",
    rlimits=MappingProxyType({"nofile": 65536}),
    pid=12,
    init="tini",
)


def reading(**changes: object) -> Reading:
    return PLAIN.reading._replace(**changes)  # type: ignore[arg-type]


def found(**changes: object) -> list[tuple[str, str, str]]:
    """Return level, topic and fact of what these changes bring up."""
    before = advise(PLAIN)
    after = advise(replace(PLAIN, **changes))  # type: ignore[arg-type]
    return [
        (finding.level, finding.topic, finding.fact)
        for finding in after
        if finding not in before
    ]


def test_good_settings_are_called_good() -> None:
    assert [(finding.topic, finding.fact) for finding in advise(PLAIN)] == [
        ("limit", "512 MiB (cgroup2 /app memory.max)"),
        (
            "use",
            f"19.5 % of 512 MiB ({LIMIT.source}) is in use and cannot be reclaimed",
        ),
        ("kills", "none in this group"),
        ("allocator", "glibc 2.36"),
        ("python", "Python 3.12.9"),
        ("gc", "on, thresholds 700, 10, 10"),
    ]
    assert {finding.level for finding in advise(PLAIN)} == {"ok"}


CASES: list[tuple[dict[str, object], str, str, str]] = [
    ({"reading": reading(limit=Limit(1 << 34, "host"))}, "warning", "limit", "host"),
    (
        {"reading": Reading(Unknown("unsupported: no /proc"))},
        "note",
        "limit",
        "unsupported: no /proc",
    ),
    ({"reading": reading(inexact=True)}, "note", "limit", "outside of what it can see"),
    (
        {"reading": reading(binding_unreclaimable_bytes=460 * MIB)},
        "warning",
        "use",
        "89.8 % of 512 MiB",
    ),
    (
        {"reading": reading(binding_unreclaimable_bytes=400 * MIB)},
        "note",
        "use",
        "78.1 % of 512 MiB",
    ),
    (
        {"reading": reading(binding=None, unreclaimable_bytes=512 * MIB)},
        "warning",
        "use",
        "100 % of 512 MiB",
    ),
    (
        {"reading": reading(throttle=Limit(400 * MIB, "cgroup2 /app memory.high"))},
        "note",
        "throttle",
        "above 400 MiB (cgroup2 /app memory.high)",
    ),
    ({"reading": reading(oom_kills=3)}, "warning", "kills", "3 killed"),
    ({"reading": reading(limit_hits=7)}, "note", "use", "reached 7 times"),
    ({"reading": reading(swap_usage_bytes=MIB)}, "warning", "swap", "1.0 MiB of this"),
    ({"reading": reading(swap_free_bytes=MIB)}, "note", "swap", "1.0 MiB of swap left"),
    ({"oom_group": True}, "note", "kills", "memory.oom.group"),
    ({"oom_kill_disabled": True}, "warning", "kills", "hang instead of being killed"),
    ({"environ": {}}, "note", "allocator", "up to 64 arenas"),
    ({"environ": {}, "cpus": None}, "note", "allocator", "up to 8 arenas"),
    (
        {"environ": {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "999999999"}},
        "note",
        "allocator",
        "MALLOC_TRIM_THRESHOLD_=999999999",
    ),
    ({"allocator": "musl"}, "warning", "allocator", "musl"),
    ({"allocator": "jemalloc"}, "note", "allocator", "jemalloc: native"),
    (
        {"environ": {"MALLOC_ARENA_MAX": "2", "LD_PRELOAD": "/x/libmimalloc.so"}},
        "warning",
        "allocator",
        "asks for mimalloc, which is not loaded",
    ),
    ({"heap_is_visible": False}, "note", "allocator", "psutil cannot see"),
    ({"development_mode": True}, "warning", "allocator", "debug hooks"),
    (
        {"environ": {"MALLOC_ARENA_MAX": "2", "PYTHONMALLOC": "pymalloc_debug"}},
        "warning",
        "allocator",
        "debug hooks",
    ),
    ({"python_blocks": 0}, "note", "allocator", "PYTHONMALLOC=malloc"),
    ({"version": (3, 14, 2)}, "warning", "python", "Python 3.14.2: its incremental"),
    ({"version": (3, 11, 7)}, "warning", "python", "TLS handshake"),
    ({"debug_build": True}, "warning", "python", "debug build"),
    ({"free_threaded": True}, "note", "python", "free-threaded, GIL on"),
    (
        {"free_threaded": True, "gil_enabled": False, "version": (3, 14, 2)},
        "note",
        "python",
        "Python 3.14.2 free-threaded, GIL off",
    ),
    ({"gc_enabled": False}, "warning", "gc", "collector is off"),
    ({"gc_threshold": (0, 10, 10)}, "warning", "gc", "collector is off"),
    ({"gc_debug": 32 | 4}, "warning", "gc", "DEBUG_SAVEALL"),
    ({"gc_frozen": 90_000}, "note", "gc", "90000 objects are frozen"),
    ({"gc_callbacks": 2}, "ok", "gc", "2 callbacks"),
    ({"traced_frames": 25}, "warning", "tracing", "25 frames"),
    ({"rlimits": {"as": 1 << 30}}, "note", "ulimit", "RLIMIT_AS 1.0 GiB"),
    ({"rlimits": {"nofile": 256}}, "note", "ulimit", "at most 256 open files"),
    ({"pid": 1}, "note", "signals", "process 1"),
    ({"init": "gunicorn: maste"}, "note", "signals", "process 1"),
    ({"huge_pages": "always"}, "note", "huge pages", "2 MiB pages"),
]


@pytest.mark.parametrize(("changes", "level", "topic", "says"), CASES)
def test_each_row_speaks_when_it_applies(
    changes: dict[str, object], level: str, topic: str, says: str
) -> None:
    ((found_level, found_topic, fact),) = found(**changes)
    assert (found_level, found_topic) == (level, topic)
    assert says in fact


def test_every_row_of_the_table_is_tested() -> None:
    spoken = {
        finding.remedy or finding.fact.split()[0]
        for changes, *_ in CASES
        for finding in advise(replace(PLAIN, **changes))  # type: ignore[arg-type]
    }
    rows = [row for rows in TABLE.values() for row in rows]
    assert {remedy for *_, remedy in rows if remedy} <= spoken


@pytest.mark.parametrize(
    "changes",
    [
        {"environ": {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}},
        {"allocator": "jemalloc", "environ": {"LD_PRELOAD": "/x/libjemalloc.so.2"}},
        {"reading": reading(oom_kills=None)},
        {"reading": reading(limit=LIMIT, binding=None, unreclaimable_bytes=None)},
        {"version": (3, 14, 5)},
        {"init": None},
        {"rlimits": {"nofile": 0}},
    ],
)
def test_what_is_unknown_or_set_well_is_no_warning(changes: dict[str, object]) -> None:
    assert {level for level, _, _ in found(**changes)} <= {"ok", "note"}
    assert "arenas" not in str(found(**changes))


def test_warnings_come_first() -> None:
    levels = [
        finding.level
        for finding in advise(replace(PLAIN, environ={}, gc_enabled=False))
    ]
    assert levels == sorted(levels, key=list(TABLE).index)
    assert levels[:2] == ["warning", "note"]


def test_each_finding_that_is_not_ok_has_a_remedy_of_one_line() -> None:
    for level, rows in TABLE.items():
        for _, _, remedy in rows:
            assert bool(remedy) == (level != "ok")
            assert "\n" not in remedy
            assert len(remedy) < 100


def test_findings_are_records() -> None:
    finding = advise(PLAIN)[0]
    assert finding == Finding("ok", "limit", "512 MiB (cgroup2 /app memory.max)", "")
