"""What the process had more and more of, beside memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leakguard._core.conclusion import resources_of
from leakguard._core.suspects import NO_RESOURCES, Resources
from tests.core.builders import look


def test_files_and_threads_are_told_for_each_call() -> None:
    filling = replace(look(1), open_files=0, threads=0)
    middle = replace(look(40), open_files=7, threads=1)
    last = replace(look(140), open_files=107, threads=26)
    assert resources_of([filling, middle, look(90), last]) == Resources(1.0, 0.25)


@pytest.mark.parametrize("calls", [[], [10], [10, 20]])
def test_few_calls_tell_nothing(calls: list[int]) -> None:
    looks = [replace(look(n), open_files=n, threads=n) for n in calls]
    assert resources_of(looks) == NO_RESOURCES


def test_what_was_not_counted_does_not_grow() -> None:
    counted = replace(look(110), open_files=100)
    assert resources_of([look(10), counted]) == NO_RESOURCES
