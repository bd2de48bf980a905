"""What a window took from the program, by its processor time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leakguard._core.overhead import LEAST_WORK, LOST_SHARE, NO_TIME, Span, lost_seconds


def test_counted_work_is_compared_unit_by_unit() -> None:
    outside = Span(10.0, 2.0, 1_000)  # 2 ms each
    assert lost_seconds(Span(1.0, 0.7, 100), outside) == pytest.approx(0.5)


def test_work_that_got_cheaper_lost_nothing() -> None:
    assert lost_seconds(Span(1.0, 0.1, 100), Span(10.0, 2.0, 1_000)) == 0.0


@pytest.mark.parametrize("work", [None, 0, LEAST_WORK - 1])
def test_with_too_little_counted_a_busy_program_lost_its_share(
    work: int | None,
) -> None:
    # It computes all the time, inside and outside: nothing shows, so the most counts.
    lost = lost_seconds(Span(1.0, 1.0, 5), Span(10.0, 10.0, work))
    assert lost == LOST_SHARE


def test_without_work_in_the_window_the_share_counts() -> None:
    assert lost_seconds(Span(1.0, 1.0, 0), Span(9.0, 9.0, 900)) == LOST_SHARE


def test_an_idle_program_lost_what_the_look_itself_took() -> None:
    assert lost_seconds(Span(1.0, 0.02), Span(10.0, 0.0)) == pytest.approx(0.02)


def test_before_anything_is_known_of_outside_all_of_it_counts() -> None:
    assert lost_seconds(Span(1.0, 0.4), NO_TIME) == pytest.approx(0.4)


def test_stretches_add_up_and_subtract() -> None:
    early, late = Span(1.0, 0.5, 3), Span(4.0, 2.0, 10)
    assert late.since(early) == Span(3.0, 1.5, 7)
    assert late.since(Span(1.0, 0.5)) == Span(3.0, 1.5, 10)  # it had not begun
    assert Span(1.0, 1.0).since(late).work is None
    waited = replace(late, waiting_seconds=2.0)
    assert waited.plus(waited).since(late).waiting_seconds == 4.0
    assert late.since(waited).waiting_seconds == 0.0
    assert early.plus(late) == Span(5.0, 2.5, 13)
    assert early.plus(Span(1.0, 0.0)) == Span(2.0, 0.5, 3)
    assert NO_TIME.plus(NO_TIME) == NO_TIME


def test_what_others_had_of_the_processor_was_not_the_programs() -> None:
    assert Span(10.0, 2.0).available_seconds == 10.0
    assert Span(10.0, 2.0, waiting_seconds=6.0).available_seconds == 4.0
    assert Span(10.0, 5.0, waiting_seconds=30.0).available_seconds == 5.0
