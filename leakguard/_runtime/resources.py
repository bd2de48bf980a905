"""The book of what is acquired and released, by the line that acquires.

Rules of this file: a resource is known by a weak reference and a key alone; taking
and dropping it are a few dictionary operations without a lock, because they run on
the program's own paths, and dropping in the collector's callbacks, too; each shelf
holds a bounded number; nothing that goes wrong here reaches the program.
"""

from __future__ import annotations

import contextlib
import sys
import time
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from leakguard._core.resources import (
    Counts,
    Standing,
    accuse_line,
    rate_per_call,
)
from leakguard._readers.heap import type_name
from leakguard._readers.source import SourceMap

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from types import FrameType

    from leakguard._core.records import Frame, Owner, Suspect
    from leakguard._core.resources import Kind
    from leakguard._core.suspects import Names

#: What is held of one kind. Some 200 bytes each; who leaks more is known by then.
MOST_HOLDS: Final = 4_096
#: Places in code that acquire one kind, and files whose owner is remembered.
MOST_PLACES, MOST_FILES = 2_000, 20_000
#: Where no more places are told apart.
ELSEWHERE: Final = ("(elsewhere)", 0)
_MOST_FRAMES: Final = 200


class Hold(ref[Any]):
    """A weak reference to what is held, that knows whose it is and since when."""

    __slots__ = ("key", "line", "since_seconds")

    key: Hashable
    line: Line
    since_seconds: float


class Line:
    """What one line has acquired of one kind, and how that went on."""

    __slots__ = (
        "acquired",
        "counts",
        "dropped",
        "frame",
        "missed",
        "owner",
        "searches",
    )

    def __init__(self, frame: Frame) -> None:
        """Begin to count."""
        self.frame = frame
        #: ``missed`` were acquired when the shelf was full.
        self.acquired = self.dropped = self.missed = 0
        self.counts = Counts()
        self.owner: Owner | None = None
        self.searches = 0


class Shelf:
    """What is held of one kind: ``take`` it, and ``drop`` it by its key.

    ``is_open(item, key)`` says whether it is still to be released, for kinds whose
    release nobody can be told of; ``size`` how much a resource counts for.
    """

    def __init__(
        self,
        kind: Kind,
        book: Book,
        is_open: Callable[[Any, Any], bool] | None = None,
        size: Callable[[Any], int] | None = None,
    ) -> None:
        """Begin with nothing held."""
        self.kind, self.book = kind, book
        self.is_open, self.size = is_open, size
        self.holds: dict[Hashable, Hold] = {}
        self.lines: dict[Frame, Line] = {}
        self.refused = 0
        self.most_holds = MOST_HOLDS
        #: By the ``id`` of code and the place in it; the code is kept, for its id.
        self._places: dict[tuple[int, int], Line] = {}
        self._codes: list[object] = []
        self.take = self._taker()

    def _taker(self) -> Callable[..., None]:
        """Return ``take(item, key=id(item))``; its caller's caller is on the line.

        A closure, and no calls in it: this is what every acquisition pays.
        """
        holds, places, libraries = self.holds, self._places, self.book.libraries
        clock, is_open, gone = self.book.clock, self.is_open, self._gone
        frame_at, line_of = sys._getframe, self._line_of  # noqa: SLF001 - documented

        def take(item: Any, key: Hashable = None) -> None:  # noqa: ANN401
            try:
                if is_open is not None and not is_open(item, key):
                    return
                frame: Any = frame_at(2)
                while frame is not None and frame.f_code.co_filename in libraries:
                    frame = frame.f_back
                line = None
                if frame is not None:
                    line = places.get((id(frame.f_code), frame.f_lasti))
                if line is None:
                    line = line_of(frame, frame_at(2))
                if len(holds) >= self.most_holds:
                    line.missed += 1
                    return
                hold = Hold(item, gone)
                hold.line = line
                hold.since_seconds = clock()
                hold.key = key = id(item) if key is None else key
                holds[key] = hold
                line.acquired += 1
            except Exception:  # noqa: BLE001 - never the program's trouble
                self.book.failures += 1

        return take

    def drop(self, key: Hashable) -> None:
        """Take down that it was released, if it was held."""
        self.holds.pop(key, None)

    def close(self) -> None:
        """Forget everything, and take nothing more."""
        self.most_holds = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything, as in a forked child."""
        for known in (self.holds, self.lines, self._places, self._codes):
            known.clear()
        self.refused = 0

    def look(self, now: float, grace_seconds: float) -> list[tuple[Line, Standing]]:
        """Return what each line holds, dropping what was closed behind our back.

        Cost: about 1 µs for each that is held.
        """
        held: dict[int, list[Hold]] = {}
        for hold in list(self.holds.values()):
            if self._is_held(hold):
                held.setdefault(id(hold.line), []).append(hold)
        return [
            (line, self._standing(line, held.get(id(line), ()), now, grace_seconds))
            for line in list(self.lines.values())
        ]

    def lose(self, frame: Frame) -> None:
        """Take down one that a line acquired and that nobody can release any more."""
        if frame in self.lines or len(self.lines) < MOST_PLACES:
            line = self.lines.setdefault(frame, Line(frame))
            line.acquired += 1
            line.dropped += 1

    def oldest(self, line: Line) -> Hold | None:
        """Return what the line has held longest."""
        holds = list(self.holds.values())
        return next((hold for hold in holds if hold.line is line), None)

    def _standing(
        self, line: Line, holds: Iterable[Hold], now: float, grace_seconds: float
    ) -> Standing:
        ages = sorted((now - hold.since_seconds for hold in holds), reverse=True)
        overdue = [age for age in ages if age >= grace_seconds]
        # Of those that were missed as many are unreleased as of the others.
        share = 1 + line.missed / max(1, line.acquired)
        unreleased, late = round(len(ages) * share), round(len(overdue) * share)
        if self.size is not None:
            unreleased = late = sum(self._size_of(hold) for hold in holds)
        return Standing(
            self.kind,
            line.frame,
            acquired=line.acquired + line.missed,
            unreleased=unreleased,
            dropped=line.dropped,
            overdue=late,
            oldest_seconds=ages[0] if ages else 0.0,
            newest_overdue_seconds=overdue[-1] if overdue else 0.0,
            type=next((type_name(i) for h in holds if (i := h()) is not None), None),
        )

    def _is_held(self, hold: Hold) -> bool:
        if self.is_open is None:
            return True
        item = hold()
        with contextlib.suppress(Exception):  # the program's own code
            if item is None or not self.is_open(item, hold.key):
                self.holds.pop(hold.key, None)
                return False
        return True

    def _size_of(self, hold: Hold) -> int:
        item = hold()
        with contextlib.suppress(Exception):
            return 0 if item is None or self.size is None else self.size(item)
        return 0

    def _gone(self, hold: Hold) -> None:
        """Take down that it was collected: nobody has released it."""
        if self.holds.get(hold.key) is hold:
            del self.holds[hold.key]
            hold.line.dropped += self.kind.collected != "released"

    def _line_of(self, frame: FrameType | None, caller: FrameType) -> Line:
        """Return the line of the innermost frame of the application; the slow way.

        Without one it is the line that called into what we patched.
        """
        found = self.book.application_frame(frame) or caller
        place = found.f_code, found.f_lasti
        line = self._places.get((id(place[0]), place[1]))
        if line is not None:
            return line
        where = (found.f_code.co_filename, found.f_lineno)
        if len(self._places) >= MOST_PLACES:
            return self.lines.setdefault(ELSEWHERE, Line(ELSEWHERE))
        line = self.lines.setdefault(where, Line(where))
        self._codes.append(place[0])
        self._places[id(place[0]), place[1]] = line
        return line


class Book:
    """All shelves of the process. ``grace_seconds`` is how long resources may stay."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any shelf."""
        self.clock = clock
        self.grace_seconds = 60.0
        self.failures = 0
        self.shelves: dict[str, Shelf] = {}
        #: Files that are not the application's.
        self.libraries: set[str] = set()
        self.use_app_root(None)

    def use_app_root(self, app_root: str | None) -> None:
        """Say whose files are the application's; see ``SourceMap``."""
        self._app_root = app_root
        self.libraries.clear()
        self._sources = SourceMap(app_root)

    def shelf(self, kind: Kind, **options: Any) -> Shelf:  # noqa: ANN401 - Shelf's own
        """Return the shelf of a kind, made when it is first asked for."""
        found = self.shelves.get(kind.noun)
        if found is None:
            found = self.shelves[kind.noun] = Shelf(kind, self, **options)
        return found

    def close(self) -> None:
        """Forget everything, and take nothing more on the shelves there were."""
        for shelf in self.shelves.values():
            shelf.close()
        self.shelves.clear()

    def clear(self) -> None:
        """Forget what is held, as in a forked child; it is the parent's."""
        for shelf in list(self.shelves.values()):
            shelf.clear()

    def application_frame(self, frame: FrameType | None) -> FrameType | None:
        """Return the innermost frame of the application, from ``frame`` outwards.

        Beyond the end of a greenlet its parent's frames are looked through.
        """
        beyond = chain(_frames(frame), _frames(_frame_beyond()))
        for at in islice(beyond, _MOST_FRAMES):
            file = at.f_code.co_filename
            if file not in self.libraries:
                if self._sources.in_app(file):
                    return at
                self._add_library(file)
        return None

    def _add_library(self, file: str) -> None:
        if len(self.libraries) >= MOST_FILES:
            self.use_app_root(self._app_root)
        self.libraries.add(file)


class Looks:
    """What is held at each look of a diagnosis: what rises with the calls leaks."""

    def __init__(self, book: Book) -> None:
        """Look for the first time, before any call."""
        self._book = book
        self._looks: list[tuple[int, dict[Line, Standing]]] = []
        self.look(0)

    def look(self, calls: int) -> None:
        """Note what every line holds after so many calls."""
        found: dict[Line, Standing] = {}
        for shelf in list(self._book.shelves.values()):
            found.update(shelf.look(self._book.clock(), 0.0))
        self._looks.append((calls, found))

    def suspects(self, names: Names) -> tuple[Suspect, ...]:
        """Return the lines that do not release what the calls acquire."""
        found = []
        for line, standing in self._looks[-1][1].items():
            counts = [
                (calls, seen[line].lost if line in seen else 0)
                for calls, seen in self._looks
            ]
            rate = rate_per_call(counts)
            if rate is not None and standing.kind.nature != "shown":
                found.append((rate, standing))
        found.sort(key=lambda row: -row[0])
        return tuple(
            accuse_line(standing, names, per_call=rate) for rate, standing in found
        )


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _frame_beyond() -> FrameType | None:
    """Return where this greenlet was switched to from, if it is one."""
    greenlet = sys.modules.get("greenlet")
    parent = greenlet.getcurrent().parent if greenlet is not None else None
    frame: FrameType | None = getattr(parent, "gr_frame", None)
    return frame
