"""When the limit will be hit: a time with an interval, or the reason for none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.forecast import Forecast, forecast
from leakguard._core.pace import Rate
from tests.core.builders import quick

rates = st.tuples(*[st.floats(1e-3, 1e12)] * 3).map(sorted)


def test_the_time_is_the_headroom_over_the_rate_with_its_interval() -> None:
    found = forecast(Rate(0, 10, 5, 20), used_bytes=400, limit_bytes=1000)
    assert found == Forecast(60, (30, 120), 1000, "at this rate in 1 min")


def test_growth_that_may_be_none_has_no_latest_time() -> None:
    found = forecast(Rate(0, 10, 0, 20), used_bytes=400, limit_bytes=1000)
    assert found.interval == (30, None)


@pytest.mark.parametrize("used", [1000, 1500])
def test_at_or_above_the_limit_no_time_is_left(used: int) -> None:
    found = forecast(Rate(0, 10, 5, 20), used_bytes=used, limit_bytes=1000)
    assert found.time_to_limit_seconds == 0
    assert found.interval == (0, 0)


@pytest.mark.parametrize(
    ("rate", "used", "limit", "reason"),
    [
        (None, 400, 1000, "nothing grows without end"),
        (Rate(0, 10, 5, 20), 400, None, "no limit is known"),
        (Rate(0, 0, 0, 0), 400, 1000, "how fast it grows is not known"),
    ],
)
def test_what_is_not_known_is_said(
    rate: Rate | None, used: int, limit: int | None, reason: str
) -> None:
    found = forecast(rate, used_bytes=used, limit_bytes=limit)
    assert found == Forecast(None, None, limit, reason)


@quick
@given(rates, st.integers(0, 2**53), st.integers(0, 2**63))
def test_no_time_is_negative_and_the_interval_holds_the_time(
    bounds: list[float], used: int, limit: int
) -> None:
    low, middle, high = bounds
    found = forecast(Rate(0, middle, low, high), used_bytes=used, limit_bytes=limit)
    assert found.interval is not None
    assert found.time_to_limit_seconds is not None
    earliest, latest = found.interval
    assert latest is not None
    assert 0 <= earliest <= found.time_to_limit_seconds <= latest
