"""What the tools around a test keep, told from what the test keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leakguard._core.conclusion import Conclusion
from leakguard._core.foreign import (
    Kept,
    is_held_by_coverage,
    is_of_tools,
    kept_by_coverage,
    without_coverage,
    without_foreign,
)
from leakguard._core.judge import Picture
from leakguard._core.records import Owner, Site, Verdict
from leakguard._core.trial import Witness
from tests.core.builders import APP, PACKAGE, look, row, suspect

TRACER = ("/lib/site-packages/coverage/collector.py", 248)
STACK_OF_TRACER = (r"C:\lib\coverage\collector.py", 295)
OWN = (APP, 41)


def test_small_blocks_are_in_one_counter_and_large_ones_in_the_other() -> None:
    held = {TRACER: (640, 10), STACK_OF_TRACER: (6_400, 10), OWN: (999, 9)}
    assert kept_by_coverage(held.items()) == Kept(10, 6_400)
    assert kept_by_coverage([]) == Kept()


def test_a_look_counts_nothing_that_coverage_keeps() -> None:
    sites = {TRACER: (640, 10), STACK_OF_TRACER: (6_400, 10), OWN: (999, 9)}
    seen = look(100, sites=sites, traced_bytes=8_039, python_blocks=1_000)
    found = without_coverage(replace(seen, heap_bytes=50_000))
    assert found.sites == {OWN: (999, 9)}
    assert (found.traced_bytes, found.python_blocks) == (999, 990)
    assert found.heap_bytes == 43_600


def test_a_look_without_coverage_is_left_as_it_is() -> None:
    seen = look(100, sites={OWN: (999, 9)})
    assert without_coverage(seen) is seen


def test_what_the_counters_do_not_know_stays_unknown() -> None:
    seen = look(100, sites={TRACER: (640, 10)}, python_blocks=0, heap_bytes=None)
    found = without_coverage(seen)
    assert (found.python_blocks, found.heap_bytes) == (0, None)


def test_a_witness_may_leave_out_what_is_kept() -> None:
    assert Witness(9, 100, 5_000).without(Kept(40, 1_000)) == Witness(9, 60, 4_000)
    assert Witness(9, None, None).without(Kept(40, 1_000)) == Witness(9, None, None)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (Owner("coverage.collector.Collector._collectors"), True),
        (Owner("shop.coverage"), False),
        (None, False),
    ],
)
def test_threads_that_coverage_holds_are_not_the_tests(
    owner: Owner | None, *, expected: bool
) -> None:
    assert is_held_by_coverage(suspect(owner=owner)) is expected
    assert is_of_tools(suspect(owner=owner)) is expected


@pytest.mark.parametrize(
    ("site", "stack", "expected"),
    [
        (Site(PACKAGE, 7, "f", in_app=False), ("/lib/_pytest/tmpdir.py:7 in f",), True),
        (
            Site(PACKAGE, 7, "f", in_app=False),
            (r"C:\lib\_pytest\tmpdir.py:7 in f",),
            True,
        ),
        (Site(PACKAGE, 7, "f", in_app=False), (f"{PACKAGE}:7 in f",), False),
        (Site(APP, 41, "f", in_app=True), ("/lib/_pytest/python.py:1 in g",), False),
        (None, ("/lib/_pytest/python.py:1 in g",), False),
    ],
)
def test_what_pytest_allocates_for_itself_is_not_the_tests(
    site: Site | None, stack: tuple[str, ...], *, expected: bool
) -> None:
    assert is_of_tools(suspect(site=site, stack=stack)) is expected


def test_growth_of_the_test_runner_is_not_the_tests() -> None:
    one, other = replace(suspect(), rank=1), replace(suspect(), rank=2)
    verdict = Verdict("leak", 0.9, "It grows.", growth_bytes_per_call=2048.0)
    found = Conclusion(verdict, (one, other), ())
    seen = Picture(100, (row(),), None, None)
    assert without_foreign(found, lambda _one: False, seen, 0.5) is found
    some = without_foreign(found, lambda item: item.rank == 1, seen, 0.5)
    assert some.suspects == (replace(other, rank=1),)
    assert some.verdict.growth_bytes_per_call == 1024.0
    assert some.verdict.growth_bytes_per_second == 2048.0
    assert "from one place" in some.verdict.reason
    none = without_foreign(found, lambda _one: True, seen, 0.5)
    assert (none.verdict.kind, none.suspects) == ("steady", ())
