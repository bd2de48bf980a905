"""Who is accused, who is acquitted, and names that stay the same everywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.evidence import NO_LOOK, Bound, Growth, gather
from leakguard._core.rates import Burst, rate_rows
from leakguard._core.records import Acquittal, Site, Verdict
from leakguard._core.suspects import (
    Names,
    accuse,
    accuse_native,
    acquit_slowing,
    fastest_held,
    fingerprint,
    site_of,
    split_bounded,
)
from tests.core.builders import (
    APP,
    NAMES,
    OWN,
    PACKAGE,
    growth,
    holding,
    quick,
    row,
)

if TYPE_CHECKING:
    from leakguard._core.records import Suspect

BOUNDED = holding(length=312, bound=Bound("LRU.maxsize", entries=1000))
AGING = holding(length=50, bound=Bound("Sessions.ttl", age_seconds=10.0))


def accused(*growths: Growth, seconds: float | None = 0.01) -> tuple[Suspect, ...]:
    return accuse(growths, NAMES, held=fastest_held(growths), seconds_per_call=seconds)


def split(
    *growths: Growth, calls: int = 100, seconds: float = 3.0
) -> tuple[list[Growth], list[Acquittal]]:
    return split_bounded(growths, NAMES, work_done=calls, seconds=seconds)


# --- accusing


def test_a_growth_becomes_a_suspect_with_all_that_is_known() -> None:
    store = holding("shop.orders._entries", entry_types=("shop.Order",))
    stack = ((PACKAGE, 7), (APP, 41), (APP, 3))
    seen = growth(size=1024.0, blocks=2.0, confidence=0.97, stack=stack, held_by=store)
    (found,) = accused(seen)
    assert found.rank == 1
    assert found.source == "site"
    assert found.site == Site(APP, 41, "create", in_app=True)
    assert found.stack == (
        f"{PACKAGE}:7 in create",
        f"{APP}:41 in create",
        f"{APP}:3 in create",
    )
    assert found.owner is not None
    assert found.owner.path == "shop.orders._entries"
    assert found.owner.links == store.links
    assert found.type == "shop.Order"
    assert found.growth_bytes_per_call == 1024
    assert found.growth_count_per_call == 2
    assert found.growth_bytes_per_second == pytest.approx(102_400)
    assert found.confidence == 0.97
    assert found.pattern == "unbounded-cache"
    assert "shop.orders._entries" in found.hint


def test_an_unheld_growth_is_named_by_the_type_that_piles_up() -> None:
    (found,) = accused(growth(types=("shop.Order", "dict")))
    assert found.owner is None
    assert found.type == "shop.Order"


def test_growth_per_second_says_nothing_per_call() -> None:
    (found,) = accused(growth(size=1024.0), seconds=None)
    assert found.growth_bytes_per_second == 1024
    assert found.growth_bytes_per_call is None
    assert found.growth_count_per_call is None


def test_calls_that_take_no_measurable_time_have_no_rate_per_second() -> None:
    (found,) = accused(growth(), seconds=0.0)
    assert found.growth_bytes_per_call == 1024
    assert found.growth_bytes_per_second is None


def test_suspects_are_ranked_in_the_order_of_their_rates() -> None:
    found = accused(growth(size=900), growth((APP, 90), size=90))
    assert [(s.rank, s.growth_bytes_per_call) for s in found] == [(1, 900), (2, 90)]


def test_crumbs_beside_a_leak_are_not_accused() -> None:
    crumbs = growth((APP, 90), size=9, held_by=holding())
    assert [s.rank for s in accused(growth(size=1000), crumbs)] == [1]
    assert len(accused(crumbs)) == 1


@pytest.mark.parametrize(
    ("seen", "is_accused"),
    [
        (growth(size=47, grown=1_000), False),
        (growth(size=48, grown=1_000), True),
        (growth(size=5, grown=256 << 10), True),
        (growth(size=5, grown=1_000, held_by=holding()), True),
        (growth(size=5, grown=1_000, is_cycle=True), True),
    ],
)
def test_what_nobody_holds_must_have_grown_much(
    seen: Growth, *, is_accused: bool
) -> None:
    assert bool(accused(seen)) is is_accused


def test_blocks_that_are_no_objects_accuse_nobody_beside_a_held_leak() -> None:
    leak = growth(size=1000, held_by=holding())
    keys = growth((APP, 90), size=500, types=())
    nodes = growth((APP, 91), size=500, types=("shop.Node",))
    assert [s.site and s.site.line for s in accused(leak, keys, nodes)] == [41, 91]
    assert [s.site and s.site.line for s in accused(keys)] == [90]


def test_growth_that_windows_alone_have_seen_is_accused() -> None:
    site = (APP, 41)
    windows = [
        Burst(float(i), seconds, {site: (n := round(seconds * 100) * 1024, n // 1024)})
        for i, seconds in enumerate((0.2, 0.8, 0.4, 1.6))
    ]
    growths = gather(rate_rows(windows), NO_LOOK, NAMES.in_app)
    (found,) = accused(*growths, seconds=None)
    assert found.growth_bytes_per_second == pytest.approx(102_400, rel=0.05)


def test_stacks_end_where_leakguard_begins() -> None:
    stack = ((APP, 41), (APP, 0), (OWN, 12), ("/usr/bin/pytest", 8))
    (found,) = accused(growth(stack=stack))
    assert found.stack == (f"{APP}:41 in create", f"{APP}:0")


def test_a_stack_goes_on_behind_what_wraps_a_librarys_calls() -> None:
    wrapper = "/usr/lib/python3.12/site-packages/leakguard/_instruments/targets.py"
    stack = ((PACKAGE, 3), (wrapper, 7), (APP, 41), (OWN, 5), (APP, 99))
    (found,) = accused(growth(stack=stack))
    assert [line.split(" ")[0] for line in found.stack] == [f"{PACKAGE}:3", f"{APP}:41"]


def test_endless_stacks_are_cut() -> None:
    stack = tuple((APP, line) for line in range(41, 1_000))
    (found,) = accused(growth(stack=stack))
    assert 10 <= len(found.stack) <= 100


def test_an_unbounded_lru_cache_is_told_to_have_a_bound() -> None:
    memo = holding("shop.price", kind="functools._lru_cache_wrapper")
    (found,) = accused(growth(held_by=holding("shop.price", unbounded_lru=True)))
    assert found.pattern == "unbounded-cache"
    assert "maxsize" in found.hint
    assert "lru_cache(maxsize=None)" not in accused(growth(held_by=memo))[0].hint


def test_cycles_are_told_to_be_collected() -> None:
    assert accused(growth(is_cycle=True))[0].pattern == "cycle"


def test_native_growth_is_a_suspect_without_a_line() -> None:
    verdict = Verdict("native-leak", 0.97, "It grows.", 4096.0, 409_600.0)
    found = accuse_native(verdict)
    assert (found.source, found.pattern) == ("native", "native")
    assert found.site is None
    assert found.growth_bytes_per_call == 4096
    assert found.growth_bytes_per_second == 409_600
    assert found.confidence == 0.97
    assert re.fullmatch("[0-9a-f]{12}", found.fingerprint)


def test_the_fastest_held_growth_is_known() -> None:
    slow, fast = growth(size=5, held_by=holding()), growth(size=9, held_by=holding())
    assert fastest_held([slow, fast, growth(size=100)]) == 9
    assert fastest_held([growth()]) == 0


def test_a_site_knows_its_function_and_whose_it_is() -> None:
    assert site_of((APP, 41), NAMES) == Site(APP, 41, "create", in_app=True)
    assert site_of((PACKAGE, 0), NAMES) == Site(PACKAGE, 0, None, in_app=False)


# --- acquitting


def test_a_holder_with_a_bound_is_acquitted_with_its_plateau() -> None:
    guilty, acquitted = split(growth(size=1024, held_by=BOUNDED), calls=100)
    assert not guilty
    (found,) = acquitted
    assert found.owner_path == "shop.cache._store"
    assert found.plateau_bytes == 1_024_000
    assert "312 of 1000" in found.reason
    assert "LRU.maxsize" in found.reason
    assert "1000 KiB" in found.reason
    assert found.growth_bytes_per_call == 1024


@pytest.mark.parametrize("seen", [growth(), growth(held_by=holding())])
def test_without_a_bound_nobody_is_acquitted(seen: Growth) -> None:
    assert split(seen) == ([seen], [])


@pytest.mark.parametrize(
    ("seconds", "is_guilty"), [(1.0, False), (14.0, False), (16.0, True)]
)
def test_entries_that_die_of_age_acquit_until_they_should_have_died(
    seconds: float, *, is_guilty: bool
) -> None:
    guilty, acquitted = split(growth(held_by=AGING), seconds=seconds)
    assert (bool(guilty), bool(acquitted)) == (is_guilty, not is_guilty)


def test_an_acquittal_by_age_names_the_age_and_no_plateau() -> None:
    _, (found,) = split(growth(held_by=AGING))
    assert found.plateau_bytes is None
    assert "10 s" in found.reason
    assert "Sessions.ttl" in found.reason


def test_a_bound_on_entries_holds_however_long_it_takes() -> None:
    both = Bound("TTLCache.maxsize", entries=1000, age_seconds=10.0)
    guilty, _ = split(growth(held_by=BOUNDED), seconds=1e6)
    assert not guilty
    _, (found,) = split(growth(held_by=holding(bound=both)))
    assert found.plateau_bytes is not None


def test_an_empty_holder_is_acquitted_too() -> None:
    empty = holding(length=0, bound=Bound("deque maxlen", entries=10))
    assert len(split(growth(held_by=empty))[1]) == 1


def test_a_plateau_is_unknown_where_no_new_entries_were_seen() -> None:
    still = replace(BOUNDED, new_entries=0)
    _, (found,) = split(growth(size=1024, held_by=still))
    assert found.plateau_bytes is None
    assert "312 of 1000" in found.reason
    assert "0 B" not in found.reason


def test_sites_that_slow_down_are_acquitted_the_largest_first() -> None:
    rows = [row((APP, n), "decaying", grown=n * 1024) for n in range(1, 9)]
    found = acquit_slowing(rows, NAMES)
    assert [item.site and item.site.line for item in found] == [8, 7, 6, 5, 4]
    assert "8.0 KiB" in found[0].reason
    assert "slows down" in found[0].reason
    assert found[0].plateau_bytes is None


# --- fingerprints


def names_at(root: str) -> Names:
    """Return what is known of sources on a machine where the program is in ``root``."""
    return Names(
        in_app=lambda file: file.startswith(root),
        is_own=lambda _file: False,
        relative=lambda file: file.removeprefix(root),
        function_at=lambda _file, _line: "create",
    )


@quick
@given(
    root=st.sampled_from(["/app/", "/home/me/shop/", "/srv/releases/41/"]),
    line=st.integers(1, 10_000),
    before=st.integers(0, 3),
    rate=st.floats(50, 1e6),
    confidence=st.floats(0.5, 0.99),
    depth=st.integers(0, 5),
)
def test_a_bug_has_one_fingerprint_on_every_machine_and_after_every_edit(  # noqa: PLR0913 - all that may differ
    *,
    root: str,
    line: int,
    before: int,
    rate: float,
    confidence: float,
    depth: int,
) -> None:
    usual = growth((f"{root}shop/views.py", 41), held_by=holding())
    frame = (f"{root}shop/views.py", line)
    changed = growth(
        frame,
        size=rate,
        confidence=confidence,
        stack=(frame, *[(f"{root}main.py", n) for n in range(depth)]),
        held_by=holding(length=line, new_entries=line),
    )
    others = [growth((f"{root}a.py", n), size=rate) for n in range(before)]
    (first,) = accuse([usual], names_at(root), held=0, seconds_per_call=0.01)
    last = accuse([*others, changed], names_at(root), held=0, seconds_per_call=2.0)[-1]
    assert last.rank == before + 1
    assert last.fingerprint == first.fingerprint
    assert first.fingerprint == _of_this_bug()


def _of_this_bug() -> str:
    return fingerprint("shop/views.py", "create", "dict", "unbounded-cache")


@pytest.mark.parametrize(
    "other",
    [
        fingerprint("shop/admin.py", "create", "dict", "unbounded-cache"),
        fingerprint("shop/views.py", "delete", "dict", "unbounded-cache"),
        fingerprint("shop/views.py", None, "dict", "unbounded-cache"),
        fingerprint("shop/views.py", "create", "list", "unbounded-cache"),
        fingerprint("shop/views.py", "create", None, "unbounded-cache"),
        fingerprint("shop/views.py", "create", "dict", "listener"),
    ],
)
def test_another_bug_has_another_fingerprint(other: str) -> None:
    assert re.fullmatch("[0-9a-f]{12}", other)
    assert other != _of_this_bug()


def test_fingerprints_stay_the_same_from_release_to_release() -> None:
    # Whoever stored one in a ticket must find it again: change it with care.
    assert _of_this_bug() == "f0bfca6b326f"


def test_a_bound_beyond_the_memory_of_a_container_acquits_nothing() -> None:
    vast = replace(BOUNDED, bound=Bound("LRU.maxsize", 9_000_000))
    (guilty,), acquitted = split(growth(size=4_096, held_by=vast))
    assert not acquitted
    assert guilty.holding is not None
    assert guilty.holding.bound is None
