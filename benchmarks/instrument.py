"""What instrumentation costs: an acquisition and its release, beside the bare calls.

The resources are made of nothing, so that the difference is ours alone; the acquiring
line lies below some frames of a library, as it does below an ORM. Both are timed in
turns, and the least of many rounds counts.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import Row, at_most, in_child, main

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._runtime.resources import Shelf

NAME = "instrument"
BUDGET = "an acquisition and its release above the bare ones: 5 µs; track: 3 µs"

_CALLS, _FRAMES = 2_000, (0, 8, 16)

#: A package's pool, and as many frames of the package as are asked for above it.
_LIBRARY = """
class Item:
    def __init__(self):
        pass
    def close(self):
        pass

class Pool:
    def __init__(self):
        self.item = Item()
    def get(self):
        return self.item
    def put(self, item):
        pass

def pooled():
    pool = Pool()
    return lambda: pool.put(pool.get())

def made():
    return lambda: Item().close()

def below(frames, action):
    return below(frames - 1, action) if frames else action()
"""


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Time pairs of calls in a child, bare and instrumented."""
    found = in_child("instrument", "microseconds", 10 if quick else 60)
    rows = []
    for what, (bare, added) in found.items():
        if added is None:
            rows.append(at_most(what, bare, "µs", 3))
            continue
        row = at_most(what, added, "µs", 5)
        rows.append(row._replace(peer="bare", theirs=bare))
    return rows


def microseconds(rounds: int) -> dict[str, tuple[float, float | None]]:
    """Return, for each pair of calls, what it costs bare and what is added."""
    found: dict[str, tuple[float, float | None]] = {}
    library = _library()
    for frames in _FRAMES:
        what = f"check-out and check-in, {frames} frames of a library"
        found[what] = _compared(library, library.pooled(), frames, rounds)
        what = f"object made and closed, {frames} frames of a library"
        found[what] = _compared(library, library.made(), frames, rounds)
    found["guard.track, and the object's death"] = _tracked(library, rounds), None
    return found


def _library() -> ModuleType:
    """Return a module that lies among installed packages."""
    directory = Path(tempfile.mkdtemp()) / "site-packages"
    directory.mkdir()
    made = ModuleType("library")
    code = compile(_LIBRARY, os.fspath(directory / "library.py"), "exec")
    exec(code, vars(made))
    return made


def _compared(
    library: Any,  # noqa: ANN401 - a module
    work: Callable[[], None],
    frames: int,
    rounds: int,
) -> tuple[float, float]:
    bare = with_ours = float("inf")

    def once() -> None:
        library.below(frames, work)

    for _ in range(rounds):
        bare = min(bare, _timed(once))
        undo = _instrumented(library)
        with_ours = min(with_ours, _timed(once))
        undo()
    return bare, with_ours - bare


def _instrumented(library: Any) -> Callable[[], None]:  # noqa: ANN401 - a module
    """Wrap the library's calls as its table of targets would have them."""
    from leakguard._instruments.targets import makes, releases, returns, takes_back
    from leakguard._runtime.resources import Book

    book = Book()
    items, pooled = _shelf(book, "items"), _shelf(book, "check-outs")
    kept = [
        _patched(library.Item, "__init__", makes, items),
        _patched(library.Item, "close", releases, items),
        _patched(library.Pool, "get", returns, pooled),
        _patched(library.Pool, "put", takes_back, pooled),
    ]

    def undo() -> None:
        for owner, name, original in kept:
            setattr(owner, name, original)

    return undo


def _shelf(book: Any, noun: str) -> Shelf:  # noqa: ANN401 - the book
    from leakguard._core.resources import Kind

    found: Shelf = book.shelf(Kind(noun, "other", "Release it."))
    return found


def _patched(owner: type, name: str, wrap: Any, shelf: Shelf) -> tuple[type, str, Any]:  # noqa: ANN401
    original = vars(owner)[name]
    setattr(owner, name, wrap(original, shelf))
    return owner, name, original


def _tracked(library: Any, rounds: int) -> float:  # noqa: ANN401 - a module
    from leakguard import Guard

    track, make = Guard().track, library.Item
    least = min(_timed(lambda: track(make(), "item")) for _ in range(rounds))
    return least - min(_timed(make) for _ in range(rounds))


def _timed(action: Callable[[], object]) -> float:
    """Return the processor microseconds of one call."""
    started = time.process_time()
    for _ in range(_CALLS):
        action()
    return (time.process_time() - started) / _CALLS * 1e6


if __name__ == "__main__":
    main(NAME, BUDGET, run)
