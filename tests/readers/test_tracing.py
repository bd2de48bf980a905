"""tracemalloc, read by stack."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from leakguard._core import traces as own_module
from leakguard._core.traces import Traces
from leakguard._readers import tracing
from leakguard._readers.tracing import (
    NOTHING,
    OWN,
    SkipFrames,
    overhead_bytes,
    read_traces,
    traced_bytes,
    tracing_state,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Trace = Any


@pytest.fixture
def trace() -> Iterator[Callable[[int], None]]:
    """Start tracing at a depth; stop it when the test is over."""
    assert not tracemalloc.is_tracing()
    yield tracemalloc.start
    tracemalloc.stop()


def _compiled(
    file: str, source: str = "made = [bytearray(500) for _ in range(9)]"
) -> list[bytearray]:
    namespace: dict[str, Any] = {}
    exec(compile(source, file, "exec"), namespace)
    made: list[bytearray] = namespace["made"]
    return made


def _files(skip: SkipFrames) -> set[str]:
    return {stack[0][0] for stack in read_traces(skip=skip).stacks}


def test_blocks_are_summed_up_by_the_line_that_allocated_them(trace: Trace) -> None:
    trace(1)
    kept = _compiled("/srv/app/made.py")
    size, count = read_traces().by_frame()["/srv/app/made.py", 1]
    # A bytearray is an object and its buffer; the list and its namespace come on top.
    assert len(kept) * 2 <= count <= len(kept) * 2 + 6
    assert size >= sum(len(item) for item in kept)


def test_all_blocks_are_read(trace: Trace) -> None:
    trace(1)
    kept = [bytearray(100) for _ in range(10_000)]
    total, _ = tracemalloc.get_traced_memory()
    assert read_traces(skip=NOTHING).total_bytes == pytest.approx(total, rel=0.05)
    assert total > len(kept) * 100


def test_the_innermost_frame_comes_first(trace: Trace) -> None:
    trace(3)
    source = "def inner():\n    return bytearray(500)\nmade = inner()"
    kept = _compiled("/srv/app/deep.py", source)
    stacks = [
        stack for stack in read_traces().stacks if stack[0][0].endswith("deep.py")
    ]
    assert kept
    assert (("/srv/app/deep.py", 2), ("/srv/app/deep.py", 3)) in [s[:2] for s in stacks]


def test_stacks_can_be_cut(trace: Trace) -> None:
    trace(5)
    kept = _compiled("/srv/app/made.py")
    read = read_traces(nframe=1)
    assert kept
    assert {len(stack) for stack in read.stacks} == {1}


def test_nothing_is_read_when_nothing_is_traced() -> None:
    assert read_traces() == Traces.from_groups({})
    assert tracing_state() == (False, 0)
    assert traced_bytes() == 0


def test_the_state_of_tracing_is_told(trace: Trace) -> None:
    trace(7)
    kept = bytearray(10_000)
    assert tracing_state() == (True, 7)
    assert traced_bytes() >= len(kept)
    assert overhead_bytes() > 0


def test_what_leakguard_allocates_is_left_out(trace: Trace) -> None:
    trace(1)
    kept = read_traces(), _compiled("/srv/app/made.py")
    assert own_module.__file__ in _files(NOTHING)
    assert own_module.__file__ not in _files(OWN)
    assert own_module.__file__ in _files(
        SkipFrames(keep=frozenset({own_module.__file__}))
    )
    assert kept


def test_what_tracemalloc_allocates_in_python_is_left_out(trace: Trace) -> None:
    trace(1)
    kept = tracemalloc.take_snapshot(), _compiled("/srv/app/made.py")
    assert tracemalloc.__file__ in _files(NOTHING)
    assert tracemalloc.__file__ not in _files(OWN)
    assert kept


@pytest.mark.parametrize(
    ("skip", "left"),
    [
        (SkipFrames(include=("*/app/*",)), {"/srv/app/a.py"}),
        (SkipFrames(include=("/srv/*",)), {"/srv/app/a.py", "/srv/lib/b.py"}),
        (SkipFrames(include=("lib/b*.py",)), {"/srv/lib/b.py"}),
        (SkipFrames(include=("a.py", "b.py")), {"/srv/app/a.py", "/srv/lib/b.py"}),
        (SkipFrames(include=("/srv/*",), exclude=("app/*",)), {"/srv/lib/b.py"}),
        (SkipFrames(include=("/nowhere/*",)), set()),
    ],
)
def test_files_can_be_chosen(trace: Trace, skip: SkipFrames, left: set[str]) -> None:
    trace(1)
    kept = _compiled("/srv/app/a.py"), _compiled("/srv/lib/b.py")
    assert kept
    assert _files(skip) == left
    left_out = {"/srv/app/a.py"} - _files(SkipFrames(exclude=("app/a.*",)))
    assert left_out == {"/srv/app/a.py"}


def test_any_frame_can_be_asked_to_match(trace: Trace) -> None:
    trace(3)
    kept = _compiled("/srv/app/a.py")
    here = SkipFrames(include=(__file__,), all_frames=True)
    assert kept
    assert "/srv/app/a.py" in _files(here)
    assert "/srv/app/a.py" not in _files(SkipFrames(include=(__file__,)))
    gone = SkipFrames(exclude=(__file__,), all_frames=True)
    assert "/srv/app/a.py" not in _files(gone)


def _without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tracemalloc, "_get_traces")
    monkeypatch.setattr(tracemalloc, "take_snapshot", lambda: _PUBLIC[0])


def _changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracemalloc, "_get_traces", lambda: [("one", "field", "more")])
    monkeypatch.setattr(tracemalloc, "take_snapshot", lambda: _PUBLIC[0])


_PUBLIC: list[tracemalloc.Snapshot] = []


@pytest.mark.parametrize("change", [_without, _changed])
def test_the_public_interface_tells_the_same(
    trace: Trace,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
) -> None:
    trace(3)
    kept = _compiled("/srv/app/made.py")
    _PUBLIC[:] = [tracemalloc.take_snapshot()]
    app = SkipFrames(include=("/srv/*",))
    private = read_traces(skip=app).by_stack()
    change(monkeypatch)
    assert kept
    assert private
    assert read_traces(skip=app).by_stack() == private
    _PUBLIC.clear()


def test_without_the_private_call_nothing_traced_is_nothing_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(tracemalloc, "_get_traces")
    assert read_traces().stacks == ()


@pytest.mark.parametrize("collecting", [True, False])
def test_no_collection_runs_while_reading(
    monkeypatch: pytest.MonkeyPatch, *, collecting: bool
) -> None:
    seen: list[bool] = []

    def look() -> list[Any]:
        seen.append(gc.isenabled())
        return []

    monkeypatch.setattr(tracing, "_raw_traces", look)
    monkeypatch.setattr(gc, "enable", lambda: seen.append(True))
    if not collecting:
        monkeypatch.setattr(gc, "isenabled", lambda: False)
    read_traces()
    monkeypatch.undo()
    gc.enable()
    assert seen == ([False, True] if collecting else [False])


def test_reading_allocates_little_beyond_what_tracemalloc_hands_out(
    trace: Trace,
) -> None:
    """Naive sums would be traced: one allocation for every block."""
    trace(1)
    kept = [bytearray(100) for _ in range(20_000)]
    raw = tracing._raw_traces()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    tracing._sizes_by_stack(raw)
    _, peak = tracemalloc.get_traced_memory()
    assert len(raw) > 2 * len(kept)
    assert (peak - before) / len(raw) < 24
