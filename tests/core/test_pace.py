"""How fast a floor grows: over its last steady stretch, with an interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.pace import rate_of
from leakguard._core.shape import Shape
from tests.core.builders import quick

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNT = 90


def shape(
    floor: Sequence[float],
    *,
    seconds: Sequence[float] | None = None,
    work: Sequence[float] | None = None,
) -> Shape:
    """Return a rising shape with this floor, a point each ten seconds."""
    seconds = seconds or [10.0 * at for at in range(len(floor))]
    risen = floor[-1] - floor[0]
    return Shape(
        "rising", risen, 0.0, 0.0, floor[-1], 1.0, seconds, work or seconds, floor
    )


def test_the_rate_of_a_line_is_its_slope() -> None:
    rate = rate_of(shape([30.0 * at for at in range(COUNT)]))
    assert rate.since_seconds == 0
    assert (rate.low, rate.per_second, rate.high) == pytest.approx((3, 3, 3))


def test_growth_that_began_late_is_measured_since_then() -> None:
    floor = [30.0 * max(0, at - 45) for at in range(COUNT)]
    rate = rate_of(shape(floor))
    assert rate.since_seconds == pytest.approx(450, abs=20)
    assert rate.per_second == pytest.approx(3, rel=0.02)


def test_growth_that_became_faster_early_is_measured_since_then() -> None:
    floor = [30.0 * max(0, at - 22) for at in range(COUNT)]
    assert rate_of(shape(floor)).since_seconds == pytest.approx(220, abs=20)


def test_what_filled_up_first_is_left_out() -> None:
    floor = [30.0 * at + 100 * min(at, 20) for at in range(COUNT)]
    rate = rate_of(shape(floor))
    assert rate.since_seconds == 300
    assert rate.per_second == pytest.approx(3)


def test_growth_with_the_work_is_measured_along_it() -> None:
    done = [float(at if at % 30 < 15 else at - at % 15) for at in range(COUNT)]
    floor = [70 * n for n in done]
    by_work, by_clock = rate_of(shape(floor, work=done)), rate_of(shape(floor))
    assert by_work.per_second == pytest.approx(6, rel=0.1)
    assert by_work.high - by_work.low < 0.1 * by_work.per_second
    assert by_clock.high - by_clock.low > 0.5 * by_clock.per_second


def test_an_uneven_floor_has_a_wide_interval() -> None:
    floor = [300.0 * (at // 10) for at in range(COUNT)]
    rate = rate_of(shape(floor))
    assert rate.per_second == pytest.approx(3, rel=0.15)
    assert rate.low < 0.9 * rate.per_second
    assert rate.high > 1.1 * rate.per_second


@pytest.mark.parametrize(
    ("floor", "seconds"),
    [
        pytest.param([5.0], None, id="one point"),
        pytest.param([5.0, 9.0], [4.0, 4.0], id="one moment"),
        pytest.param([5.0] * 9, None, id="flat"),
    ],
)
def test_without_time_or_growth_the_rate_is_zero(
    floor: list[float], seconds: list[float] | None
) -> None:
    rate = rate_of(shape(floor, seconds=seconds))
    assert (rate.per_second, rate.low, rate.high) == (0, 0, 0)


@quick
@given(
    st.lists(st.floats(0, 1e9), min_size=2, max_size=96),
    st.lists(st.integers(0, 1000), min_size=96, max_size=96),
    st.sampled_from([0.25, 2.0, 1024.0]),
)
def test_a_floor_has_a_rate_within_its_interval_that_follows_the_scale_of_time(
    rises: list[float], requests: list[int], scale: float
) -> None:
    floor = [sum(rises[:at]) for at in range(1, len(rises) + 1)]
    work = [float(sum(requests[:at])) for at in range(1, len(rises) + 1)]
    seconds = [10.0 * at for at in range(len(rises))]
    rate = rate_of(shape(floor, seconds=seconds, work=work))
    assert 0 <= rate.low <= rate.per_second <= rate.high
    slower = rate_of(shape(floor, seconds=[scale * at for at in seconds], work=work))
    assert slower.per_second == pytest.approx(rate.per_second / scale)
    assert slower.since_seconds == scale * rate.since_seconds
