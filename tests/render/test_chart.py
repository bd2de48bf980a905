"""The chart of a memory history."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.samples import Sample
from leakguard._render.chart import HINT, draw_chart, memory_points
from tests.render.golden import assert_golden

if TYPE_CHECKING:
    import pytest

MIB = 1 << 20
RISING = [Sample(10.0 * n, rss_bytes=MIB * (50 + min(n, 150))) for n in range(301)]


def test_a_history() -> None:
    assert_golden("chart.txt", draw_chart(RISING, width=60))


def test_no_line_is_wider_than_asked() -> None:
    for width in (40, 80, 100):
        assert max(map(len, draw_chart(RISING, width=width).splitlines())) <= width


@given(
    st.lists(st.integers(0, 1 << 50), min_size=2, max_size=20),
    st.integers(1, 120),
)
def test_any_history_can_be_drawn(sizes: list[int], width: int) -> None:
    samples = [Sample(float(n), rss_bytes=size) for n, size in enumerate(sizes)]
    assert len(draw_chart(samples, width=width).splitlines()) == 11


def test_less_than_two_points_are_no_chart() -> None:
    assert draw_chart(RISING[:1], width=60) == ""
    assert draw_chart([], width=60) == ""


def test_without_the_library_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotille", None)
    assert draw_chart(RISING, width=60) == HINT


def test_the_first_signal_known_is_drawn() -> None:
    both = Sample(0.0, rss_bytes=1, cgroup_usage_bytes=2)
    assert memory_points([both]) == [(0.0, 1)]
    group = Sample(0.0, cgroup_usage_bytes=5, cgroup_inactive_file_bytes=2)
    assert memory_points([group, Sample(1.0)]) == [(0.0, 3)]
    assert memory_points([Sample(0.0, cgroup_usage_bytes=5)]) == [(0.0, 5)]
    assert memory_points([Sample(0.0, in_use_bytes=7)]) == [(0.0, 7)]
    assert memory_points([Sample(0.0, python_blocks=7)]) == []
