"""How much of the growth the suspects of a diagnosis explain."""

from __future__ import annotations

import pytest

from leakguard._core.conclusion import _explained_share
from leakguard._core.judge import Picture
from tests.core.builders import law, look, suspect


def _picture(native: float | None = None) -> Picture:
    found = None if native is None else law(slope=native)
    return Picture(calls=200, rows=(), native=found, resident=None)


@pytest.mark.parametrize(
    ("native", "share"), [(None, 0.5), (1024.0, 0.5 * 2 / 3), (-1024.0, 0.5)]
)
def test_the_share_is_of_what_is_traced_and_of_native_growth(
    native: float | None, share: float
) -> None:
    looks = [look(calls, traced_bytes=2048 * calls) for calls in (50, 100, 200)]
    found = _explained_share([suspect(1024.0)], looks, _picture(native))
    assert found == pytest.approx(share)


def test_of_no_growth_there_is_no_share() -> None:
    still = [
        look(100, traced_bytes=7),
        look(200, traced_bytes=7),
        look(300, traced_bytes=7),
    ]
    assert _explained_share([suspect()], still, _picture()) is None
    assert _explained_share([suspect()], still[:1], _picture()) is None
