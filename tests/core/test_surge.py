"""What goes up and comes down again is expected again; what stays is growth."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.surge import (
    AT_ONCE,
    BRIEF_LOOKS,
    HALF_LIFE_SECONDS,
    LOOKS,
    STEPS_SECONDS,
    Surge,
    looked,
)

MIB = 1 << 20
AMOUNTS = st.lists(st.integers(0, 1 << 40), min_size=1, max_size=3 * LOOKS)


def after(amounts: list[int], peaks: dict[int, int] | None = None) -> Surge:
    """Return what is expected after these looks, a second apart."""

    def look(surge: Surge, at: int) -> Surge:
        return looked(surge, at, amounts[at], (peaks or {}).get(at, 0))

    return reduce(look, range(len(amounts)), Surge())


def test_what_rises_and_falls_is_expected_again() -> None:
    seen = after([100, 100, 124, 124, 100])
    assert round(seen.expected_bytes) == 24
    assert seen.used_bytes == 124


def test_what_is_in_use_for_the_moment_is_not_counted_twice() -> None:
    assert after([100, 124, 100, 100, 124]).used_bytes == 124


def test_the_most_that_was_used_between_two_looks_counts() -> None:
    assert after([100, 100, 100], {1: 140}).used_bytes == 140


def test_what_one_process_needed_may_be_needed_twice_at_once() -> None:
    all_of_it, own = after([100, 110, 100]), after([50, 90, 50])
    assert all_of_it.with_own(own).used_bytes == 100 + AT_ONCE * 40
    assert all_of_it.with_own(Surge()) == all_of_it


def test_a_brief_surge_comes_on_top_of_what_was_used_lately() -> None:
    amounts = [100, 100, 140, 100, 180, 180, 180]
    assert after(amounts).used_bytes == 180 + 40
    assert after([*amounts, 220]).used_bytes == 220  # it is there
    own = after([50, 110, 50])
    assert after([180, 180, 180]).with_own(own).used_bytes == 180 + AT_ONCE * 60


def test_a_surge_that_lasts_is_not_expected_on_top_of_growth() -> None:
    amounts = [100, *[140] * BRIEF_LOOKS, 100, *[180] * BRIEF_LOOKS]
    assert round(after(amounts).expected_bytes) == 40
    assert after(amounts).brief_bytes == 0


def test_what_rises_and_stays_is_no_surge() -> None:
    assert after([20, 20, 60, 60, 60]).expected_bytes == 0
    assert after([60] * 40 + [150] * 40).used_bytes == 150


def test_what_falls_for_good_is_no_surge() -> None:
    for length in range(1, LOOKS):
        assert after([185, 185] + [130] * length).expected_bytes == 0


def test_half_of_it_is_expected_after_a_while_without() -> None:
    seen = after([100 * MIB, 148 * MIB, 100 * MIB])
    later = looked(seen, 2 + HALF_LIFE_SECONDS, 100 * MIB)
    assert later.expected_bytes == 48 * MIB  # seen is what is within the looks
    for number in range(LOOKS):
        later = looked(later, 2 + HALF_LIFE_SECONDS + number / 1e9, 100 * MIB)
    assert round(looked(later, 2 + 2 * HALF_LIFE_SECONDS, 0).expected_bytes / MIB) == 24


def test_a_clock_that_goes_back_changes_nothing() -> None:
    seen = after([100, 124, 100])
    assert looked(seen, -1e9, 100).expected_bytes == 24


def test_two_steps_that_stay_announce_a_third() -> None:
    assert after([50, 74, 75, 76, 77]).step_bytes == 1  # one is no more than that
    seen = after([50, 74, 75, 76, 100, 101, 102])
    assert seen.step_bytes == 24
    assert seen.rise_bytes == 24
    assert seen.used_bytes == 126
    later = looked(seen, 6 + STEPS_SECONDS, 102)
    assert later.step_bytes == 0


def test_what_comes_down_again_is_no_step() -> None:
    for high in ([74], [74, 74]):
        seen = after([50, *high, 50, 50, *high, 50, 50, 50])
        assert seen.step_bytes == 0
        assert seen.used_bytes == 74


def test_between_looks_that_lie_far_apart_there_is_no_step() -> None:
    seen = Surge()
    for at, amount in enumerate([50, 74, 100, 124, 150]):
        seen = looked(seen, 4.0 * at, amount)
    assert not seen.steps


def test_what_has_stayed_is_remembered_when_memory_falls() -> None:
    assert after([50, 74, 74, 98, 98, 98, 40, 40]).step_bytes == 24


@given(AMOUNTS)
def test_it_never_expects_less_than_is_used_nor_more_than_ever_was(
    amounts: list[int],
) -> None:
    seen = after(amounts)
    most = max(amounts) + max(seen.expected_bytes, seen.step_bytes)
    assert amounts[-1] <= seen.used_bytes <= most
    assert 0 <= seen.expected_bytes <= max(amounts)
    assert len(seen.looks) <= LOOKS


@given(AMOUNTS)
def test_growth_alone_is_no_surge(amounts: list[int]) -> None:
    assert after(sorted(amounts)).expected_bytes == 0
