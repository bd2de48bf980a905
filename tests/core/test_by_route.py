"""Growth goes with the route whose requests explain it, and with no other."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.by_route import LEAST_WINDOWS, RouteGrowth, explaining_route

ROUTES = ("/a", "/b", "/c")


def served(windows: int = 12, seed: int = 1) -> list[Counter[str]]:
    """Return how many requests came to each route in some windows."""
    chance = random.Random(seed)
    return [
        Counter(chance.choices(ROUTES, weights=(5, 3, 2), k=chance.randint(20, 80)))
        for _ in range(windows)
    ]


@pytest.mark.parametrize("route", ROUTES)
def test_the_route_that_leaks_is_named_with_its_rate(route: str) -> None:
    requests = served()
    amounts = [5_000 + 1_024.0 * window[route] for window in requests]
    found = explaining_route(amounts, requests)
    assert found == RouteGrowth(route, pytest.approx(1_024))


def test_what_all_routes_share_is_nobodys() -> None:
    requests = served()
    amounts = [1_024.0 * window.total() for window in requests]
    assert explaining_route(amounts, requests) is None


def test_the_only_route_need_not_be_told_from_others() -> None:
    requests = [Counter({"/a": number}) for number in (3, 9, 4, 8, 1, 7)]
    amounts = [100.0 * window["/a"] for window in requests]
    named = RouteGrowth("/a", pytest.approx(100.0))
    assert explaining_route(amounts, requests) == named


def test_growth_that_goes_with_no_request_is_nobodys() -> None:
    requests = served()
    assert explaining_route([1_000.0] * len(requests), requests) is None
    chance = random.Random(7)
    assert explaining_route([chance.random() for _ in requests], requests) is None
    falling = [1e6 - 1_024.0 * window["/a"] for window in requests]
    assert explaining_route(falling, requests) is None


def test_routes_that_are_always_asked_together_cannot_be_told_apart() -> None:
    requests = [Counter({"/a": n, "/b": n}) for n in (3, 9, 4, 8, 1, 7)]
    assert (
        explaining_route([100.0 * window["/a"] for window in requests], requests)
        is None
    )


def test_few_windows_and_no_routes_explain_nothing() -> None:
    requests = served(LEAST_WINDOWS - 1)
    amounts = [1_024.0 * window["/a"] for window in requests]
    assert explaining_route(amounts, requests) is None
    assert explaining_route([1.0, 2.0, 3.0, 4.0, 5.0], [{}] * 5) is None


@given(
    st.lists(
        st.tuples(
            st.floats(-1e12, 1e12),
            st.dictionaries(st.sampled_from(ROUTES), st.integers(0, 10**9)),
        ),
        max_size=20,
    )
)
def test_any_windows_will_do(windows: list[tuple[float, dict[str, int]]]) -> None:
    amounts, requests = [w[0] for w in windows], [w[1] for w in windows]
    found = explaining_route(amounts, requests)
    assert found is None or found.growth_bytes_per_call > 0
