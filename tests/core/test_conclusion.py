"""What a diagnosis concludes beside the verdict: resources, and the share explained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leakguard._core.conclusion import _explained_share, resources_of
from leakguard._core.judge import Picture
from leakguard._core.suspects import NO_RESOURCES, Resources
from tests.core.builders import law, look, suspect


def test_files_and_threads_are_told_for_each_call() -> None:
    filling = replace(look(1), open_files=0, threads=0)
    middle = replace(look(40), open_files=7, threads=1)
    last = replace(look(140), open_files=107, threads=26, exit_callbacks=50)
    middle = replace(middle, exit_callbacks=0)
    found = resources_of([filling, middle, look(90), last])
    assert found == Resources(1.0, 0.25, 0.5)


@pytest.mark.parametrize("calls", [[], [10], [10, 20]])
def test_few_calls_tell_nothing(calls: list[int]) -> None:
    looks = [replace(look(n), open_files=n, threads=n) for n in calls]
    assert resources_of(looks) == NO_RESOURCES


def test_what_was_not_counted_does_not_grow() -> None:
    counted = replace(look(110), open_files=100)
    assert resources_of([look(10), counted]) == NO_RESOURCES


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
