"""When to stop looking, and the verdict over what was seen."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.judge import (
    LEAST_CALLS,
    Limits,
    Picture,
    acquitted_verdict,
    is_enough,
    judge,
    picture_of,
)
from leakguard._core.records import Owner
from tests.core.builders import (
    APP,
    PACKAGE,
    acquittal,
    law,
    look,
    quick,
    row,
    suspect,
    watch,
)

if TYPE_CHECKING:
    from leakguard._core.growth import Law
    from leakguard._core.observe import Checkpoint, GrowthRow
    from leakguard._core.records import Acquittal, Suspect, Verdict

FRAME = (APP, 41)
LIMITS = Limits(seconds=20.0, calls=None, grown_bytes=256 << 20)


def picture(
    *rows: GrowthRow,
    calls: int = 1_000,
    native: Law | None = None,
    resident: Law | None = None,
) -> Picture:
    return Picture(calls, rows, native, resident)


def verdict(
    seen: Picture,
    suspects: tuple[Suspect, ...] = (),
    acquitted: tuple[Acquittal, ...] = (),
    *,
    trimmed: int | None = None,
    seconds: float = 0.01,
) -> Verdict:
    return judge(
        seen, suspects, acquitted, trimmed_bytes=trimmed, seconds_per_call=seconds
    )


# --- the picture


def test_a_picture_parts_what_goes_on_from_what_slows_down() -> None:
    looks = watch(
        1_000,
        {
            (APP, 1): lambda n: (1024 * n, n),
            (APP, 2): lambda n: (min(n, 600) * 4096, n),
            (APP, 3): lambda _n: (1 << 20, 1),
        },
        native=lambda n: 2_000 * n,
    )
    seen = picture_of(looks)
    assert seen.calls == 1_000
    assert [r.frame for r in seen.steady_rows] == [(APP, 1)]
    assert [r.frame for r in seen.slowing_rows] == [(APP, 2)]
    assert not seen.open_rows
    assert seen.native is not None
    assert seen.native.shape == "linear"
    assert seen.resident is not None
    assert seen.resident.shape == "flat"


def test_a_site_seen_over_few_calls_is_open() -> None:
    seen = picture_of(watch(10, {FRAME: lambda n: (1024 * n, n)}))
    assert [r.frame for r in seen.open_rows] == [FRAME]


def test_nothing_seen_is_a_picture_of_nothing() -> None:
    seen = picture_of([])
    assert (seen.calls, seen.rows) == (0, ())


# --- when to stop


def pair(
    calls: int, seconds: float, *, grown: int = 0, traces: int = 0, heap: int | None = 0
) -> list[Checkpoint]:
    first_heap = None if heap is None else 50 << 20
    last_heap = None if heap is None else (50 << 20) + heap
    return [
        look(1, 0.0, heap_bytes=first_heap),
        look(calls, seconds, traced_bytes=grown, traces=traces, heap_bytes=last_heap),
    ]


def test_no_look_is_never_enough() -> None:
    assert not is_enough([], picture(calls=0), LIMITS)


@pytest.mark.parametrize(("calls", "enough"), [(99, False), (100, True), (101, True)])
def test_asked_for_calls_are_all_made_and_no_more(calls: int, *, enough: bool) -> None:
    limits = Limits(seconds=20.0, calls=100, grown_bytes=1)
    looks = pair(calls, 19.0, grown=1 << 30)
    assert is_enough(looks, picture(row(), calls=calls), limits) is enough


@pytest.mark.parametrize("limit", [None, 1_000_000])
def test_time_and_traces_end_every_look(limit: int | None) -> None:
    limits = Limits(seconds=20.0, calls=limit, grown_bytes=256 << 20, traces=1_000)
    seen = picture(row(shape="unclear"), calls=2)
    assert is_enough(pair(2, 20.0), seen, limits)
    assert is_enough(pair(2, 0.1, traces=1_000), seen, limits)
    assert not is_enough(pair(2, 19.9, traces=999), seen, limits)


@pytest.mark.parametrize("calls", [None, 1_000_000])
def test_the_looks_end_before_the_files_run_out(calls: int | None) -> None:
    limits = Limits(20.0, calls, grown_bytes=256 << 20, more_files=500)
    seen = picture(row(shape="unclear"), calls=600)
    first, last = replace(look(1), open_files=100), replace(look(600), open_files=599)
    assert not is_enough([first, last], seen, limits)
    assert is_enough([first, replace(last, open_files=600)], seen, limits)
    assert not is_enough([look(1), look(600)], seen, limits)


@pytest.mark.parametrize(
    "looks",
    [
        pair(100, 1.0, grown=256 << 20),
        pair(100, 1.0, heap=256 << 20),
        pair(100, 1.0, grown=256 << 20, heap=None),
    ],
)
def test_a_look_ends_before_the_work_eats_the_machine(looks: list[Checkpoint]) -> None:
    assert is_enough(looks, picture(row(), calls=100), LIMITS)


def test_a_few_calls_decide_nothing_however_long_they_take() -> None:
    assert not is_enough(pair(15, 19.0), picture(calls=15), LIMITS)


@pytest.mark.parametrize(
    ("calls", "seconds", "enough"),
    [(300, 3.0, True), (299, 9.0, False), (9_000, 2.9, False)],
)
def test_a_quiet_program_is_believed_soon(
    calls: int, seconds: float, *, enough: bool
) -> None:
    assert is_enough(pair(calls, seconds), picture(calls=calls), LIMITS) is enough


@pytest.mark.parametrize(
    ("calls", "seconds", "enough"),
    [(1_200, 6.0, True), (1_100, 15.0, False), (9_000, 5.0, False)],
)
def test_a_program_that_warms_up_is_watched_longer(
    calls: int, seconds: float, *, enough: bool
) -> None:
    seen = picture(row(shape="decaying"), calls=calls)
    assert is_enough(pair(calls, seconds), seen, LIMITS) is enough


@pytest.mark.parametrize(
    ("calls", "seconds", "grown", "enough"),
    [
        (12_000, 2.5, 8 << 20, True),
        (3_000, 10.0, 8 << 20, True),
        (50_000, 4.0, 0, True),
        (11_000, 9.0, 200 << 20, False),
        (12_000, 9.0, 7 << 20, False),
        (2_900, 14.0, 200 << 20, False),
    ],
)
def test_growth_is_watched_until_most_caches_would_be_full(
    calls: int, seconds: float, grown: int, *, enough: bool
) -> None:
    for shape in ("linear", "unclear"):
        seen = picture(row(shape=shape), calls=calls)
        assert is_enough(pair(calls, seconds, grown=grown), seen, LIMITS) is enough


def test_native_growth_is_watched_as_long_as_pythons() -> None:
    seen = picture(calls=400, native=law())
    assert not is_enough(pair(400, 4.0), seen, LIMITS)
    still = picture(calls=400, native=law("flat"))
    assert is_enough(pair(400, 4.0), still, LIMITS)


# --- the verdict


def test_a_suspect_is_a_leak() -> None:
    found = verdict(picture(row()), (suspect(),))
    assert found.kind == "leak"
    assert found.confidence == 0.9
    assert found.growth_bytes_per_call == 1024
    assert found.growth_bytes_per_second == pytest.approx(102_400)
    assert "1.0 KiB per call" in found.reason
    assert "1000 calls" in found.reason
    assert "one place" in found.reason


def test_the_rates_of_suspects_add_up() -> None:
    suspects = (suspect(1000, confidence=0.7), suspect(24), suspect(None))
    found = verdict(picture(row()), suspects)
    assert found.growth_bytes_per_call == 1024
    assert found.confidence == 0.9
    assert "3 places" in found.reason


def test_a_leak_names_who_holds_it() -> None:
    found = verdict(picture(row()), (suspect(owner=Owner("shop.cache._store")),))
    assert "shop.cache._store" in found.reason


def test_a_leak_that_grows_natively_too_says_so() -> None:
    found = verdict(picture(row(), native=law(slope=4096)), (suspect(),))
    assert found.kind == "leak"
    assert found.reason.endswith("native memory grows with it, 4.0 KiB per call.")


def test_native_growth_alone_is_a_native_leak() -> None:
    seen = picture(native=law(slope=4096, confidence=0.97))
    found = verdict(seen, acquitted=(acquittal(),))
    assert found.kind == "native-leak"
    assert found.confidence == 0.97
    assert found.growth_bytes_per_call == 4096
    assert found.growth_bytes_per_second == pytest.approx(409_600)


@pytest.mark.parametrize("native", [None, law("flat"), law("decaying"), law("unclear")])
def test_native_memory_that_does_not_surely_grow_is_no_native_leak(
    native: Law | None,
) -> None:
    assert verdict(picture(native=native)).kind == "steady"


def test_resident_growth_that_comes_back_on_trim_is_fragmentation() -> None:
    seen = picture(resident=law(grown=100 << 20))
    found = verdict(seen, trimmed=80 << 20)
    assert found.kind == "fragmentation"
    assert "80 MiB" in found.reason
    assert "MALLOC_ARENA_MAX=2" in found.reason
    assert found.growth_bytes_per_call is None


@pytest.mark.parametrize("trimmed", [None, 0, 10 << 20])
def test_resident_growth_that_stays_is_a_native_leak(trimmed: int | None) -> None:
    seen = picture(resident=law(slope=65_536, grown=100 << 20))
    found = verdict(seen, trimmed=trimmed)
    assert found.kind == "native-leak"
    assert found.growth_bytes_per_call == 65_536
    assert found.confidence <= 0.8


def test_growth_with_a_bound_is_a_cache() -> None:
    small = acquittal("it is small", 10.0)
    large = acquittal("it holds 312 of 1000", 1024.0)
    found = verdict(picture(row()), acquitted=(small, large, acquittal("it slows")))
    assert found.kind == "cache"
    assert "it holds 312 of 1000" in found.reason
    assert found.growth_bytes_per_call == 0


def test_an_acquittal_speaks_of_any_span() -> None:
    found = acquitted_verdict([acquittal("it is full")], "20 seconds")
    assert found.kind == "cache"
    assert "over 20 seconds" in found.reason
    assert "it is full" in found.reason


def test_growth_over_few_calls_asks_for_more_calls() -> None:
    found = verdict(picture(row(shape="unclear"), calls=20))
    assert found.kind == "unknown"
    assert found.confidence <= 0.5


@quick
@given(calls=st.integers(0, 15), growing=st.booleans())
def test_too_few_calls_ask_for_a_number_of_more(calls: int, *, growing: bool) -> None:
    rows = [row(shape="unclear")] if growing else []
    found = verdict(picture(*rows, calls=calls))
    assert found.kind == "unknown"
    made, wanted = map(int, re.findall(r"\d+", found.reason))
    assert made == calls
    assert wanted >= 64


def test_a_program_that_stands_still_is_steady() -> None:
    found = verdict(picture(resident=law("flat"), native=law("flat")))
    assert found.kind == "steady"
    assert found.growth_bytes_per_call == 0
    assert "1000 calls" in found.reason


def test_growth_that_is_still_unclear_at_the_end_is_not_called_steady() -> None:
    found = verdict(picture(row(shape="unclear", grown=50 << 20), calls=500))
    assert found.kind != "steady"


@pytest.mark.parametrize("calls", [13, 14, 15])
def test_a_leak_is_not_called_one_below_the_calls_that_decide(calls: int) -> None:
    seen = picture_of(watch(calls, {FRAME: lambda n: (1024 * n, n)}))
    suspects = tuple(suspect() for _ in seen.steady_rows)
    assert verdict(seen, suspects).kind == "unknown"


@pytest.mark.parametrize(
    ("seen", "suspects"),
    [
        (picture(row()), (suspect(),)),
        (picture(native=law()), ()),
        (picture(resident=law()), ()),
    ],
)
def test_calls_that_take_no_measurable_time_have_no_rate_per_second(
    seen: Picture, suspects: tuple[Suspect, ...]
) -> None:
    found = verdict(seen, suspects, seconds=0.0)
    assert found.growth_bytes_per_call == 1024
    assert found.growth_bytes_per_second is None


LAWS = st.none() | st.sampled_from([law(s) for s in ("linear", "flat", "unclear")])
ROWS = st.lists(
    st.sampled_from([row((PACKAGE, 1), s) for s in ("linear", "decaying", "unclear")]),
    max_size=3,
)


@quick
@given(ROWS, LAWS, LAWS, st.integers(0, 10**6), st.integers(0, 2), st.integers(0, 2))
def test_every_verdict_is_one_sentence_and_never_certain(  # noqa: PLR0913 - all that is judged
    rows: list[GrowthRow],
    native: Law | None,
    resident: Law | None,
    calls: int,
    suspects: int,
    acquitted: int,
) -> None:
    seen = picture(*rows, calls=calls, native=native, resident=resident)
    found = verdict(seen, (suspect(),) * suspects, (acquittal(),) * acquitted)
    assert 0 < found.confidence < 1
    assert found.reason.endswith(".")
    assert (found.kind == "leak") == bool(suspects and calls >= LEAST_CALLS)
