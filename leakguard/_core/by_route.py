"""Which route's requests the growth of a line goes with.

Rules of this file: pure. In each window a line grows by what the requests of its route
leave behind, so their number explains its growth, window by window, and no other
number does as well. Where two explain it alike, nobody is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Fewer windows explain anything.
LEAST_WINDOWS = 5
#: The part of the growth's variance that may stay unexplained, and how many times
#: more the second best has to leave unexplained.
MOST_UNEXPLAINED, TIMES_BETTER = 0.25, 2.0


class RouteGrowth(NamedTuple):
    """A route, and what each of its requests leaves behind."""

    route: str
    growth_bytes_per_call: float


class _Fit(NamedTuple):
    unexplained: float
    slope: float
    route: str


def explaining_route(
    amounts: Sequence[float], requests: Sequence[Mapping[str, int]]
) -> RouteGrowth | None:
    """Return the route whose requests explain the bytes left behind in each window.

    By least squares with an intercept for what is merely in flight. Cost: some µs per
    route.
    """
    if len(amounts) < LEAST_WINDOWS:
        return None
    routes = {route for window in requests for route in window}
    totals = [float(sum(window.values())) for window in requests]
    fits = sorted(
        _fit(route, [float(window.get(route, 0)) for window in requests], amounts)
        for route in routes
    )
    if not fits or fits[0].slope <= 0 or fits[0].unexplained > MOST_UNEXPLAINED:
        return None
    best, *others = fits
    rivals = [*others, _fit("", totals, amounts)] if others else []
    needed = TIMES_BETTER * best.unexplained
    if any(rival.unexplained <= needed for rival in rivals):
        return None
    return RouteGrowth(best.route, best.slope)


def _fit(route: str, counts: Sequence[float], amounts: Sequence[float]) -> _Fit:
    mean_count = sum(counts) / len(counts)
    mean_amount = sum(amounts) / len(amounts)
    pairs = [
        (c - mean_count, a - mean_amount) for c, a in zip(counts, amounts, strict=True)
    ]
    spread = sum(c * c for c, _ in pairs)
    variance = sum(a * a for _, a in pairs)
    together = sum(c * a for c, a in pairs)
    if spread <= 0 or variance <= 0:
        return _Fit(1.0, 0.0, route)
    return _Fit(
        max(0.0, 1 - together**2 / (spread * variance)), together / spread, route
    )
