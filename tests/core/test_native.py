"""Of all calls into C the one that keeps what is lost is named, or none."""

from __future__ import annotations

import pytest

from leakguard._core.native import CallSite, Culprit, culprit_of

HERE, THERE = ("codec.py", 26), ("codec.py", 40)
STACK = (HERE, ("app.py", 1))


def _culprit(
    kept: dict[CallSite, int],
    *,
    calls: int = 10,
    lost: float = 100.0,
    called: tuple[str, ...] = (),
) -> Culprit | None:
    stacks = dict.fromkeys(kept, STACK)
    return culprit_of(kept, stacks, calls, lost, lambda _file, _line: called)


@pytest.mark.parametrize(
    ("size", "is_named"),
    [(1000, True), (500, True), (499, False), (4000, True), (4001, False)],
)
def test_it_has_to_keep_about_what_is_lost(size: int, *, is_named: bool) -> None:
    found = _culprit({CallSite("malloc", HERE): size, CallSite(None, THERE): 10})
    assert found == (Culprit("malloc", STACK, size / 10) if is_named else None)


def test_a_line_is_named_by_what_it_calls_and_tells_something() -> None:
    kept = {CallSite(None, HERE): 1000}
    found = _culprit(kept, called=("len", "libc.malloc", "min"))
    assert found is not None
    assert found.function == "libc.malloc"
    unnamed = _culprit(kept, called=("len",))
    assert unnamed is not None
    assert unnamed.function is None


def test_where_nothing_is_kept_nobody_is_named() -> None:
    assert _culprit({}) is None
    assert _culprit({CallSite("malloc", HERE): 1000}, calls=0) is None
