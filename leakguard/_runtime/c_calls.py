"""Watch what each call into C takes from the C heap and does not give back.

The heap is read at every call into C and at every line of Python, so that what grows
in between belongs to one of them. Memory comes and goes, large Python objects too: what
is given back is set off against what was taken, by its size first, and the rest is
what stays. Rules of this file: nothing is watched beside a profiler of the user's; all
is restored; a callback never raises into the program, and bounded memory.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from leakguard._core.native import CallSite
from leakguard._core.records import Unknown
from leakguard._readers.callables import function_name
from leakguard._readers.process import heap_reader
from leakguard._readers.source import is_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import CodeType, FrameType

    from leakguard._core.records import Stack

_FRAMES = 24
#: Blocks that are waited for to come back, and of those how many are looked at.
_OPEN_BLOCKS, _LOOKED_AT = 20_000, 256
_TOOL = "leakguard"


class Kept(NamedTuple):
    """What each call site took and did not give back, in so many calls of the work."""

    sizes: Mapping[CallSite, int]
    stacks: Mapping[CallSite, Stack]
    calls: int


def watch_calls(
    run: Callable[[], int], *, heap: Callable[[], int] | None = None
) -> Kept | Unknown:
    """Let work be done and return what its calls into C have kept.

    ``run`` returns how many calls of the work it made; what it raises goes through.
    ``heap`` reads what is in use, in bytes. Cost: about 5 µs for each line of Python
    and each call into C meanwhile.
    """
    if sys.getprofile() is not None:
        return Unknown("a profiler is set")
    heap = heap or heap_reader()
    if heap is None:
        return Unknown("the C heap cannot be read here")
    watch = _Watch(heap)
    watching = _monitored if sys.version_info >= (3, 12) else _profiled
    with watching(watch) as trouble:
        if trouble is not None:
            return trouble
        calls = run()
    return Kept(watch.balance.kept(), watch.stacks, calls)


class Balance:
    """Blocks that were taken, until something of their size is given back."""

    def __init__(self) -> None:
        """Begin with nothing taken."""
        self._open: list[tuple[int, CallSite]] = []

    def take(self, size: int, site: CallSite) -> None:
        """Note so many bytes taken."""
        if len(self._open) < _OPEN_BLOCKS:
            self._open.append((size, site))

    def give_back(self, size: int) -> None:
        """Note so many bytes given back, by nobody knows whom."""
        if not self._give_whole(size):
            self._give_newest(size)

    def kept(self) -> Counter[CallSite]:
        """Return what has not come back, by call site."""
        found: Counter[CallSite] = Counter()
        for size, site in self._open:
            found[site] += size
        return found

    def _give_whole(self, size: int) -> bool:
        """Give a block of this size, or those of one place that have it together."""
        opened = self._open
        places: dict[CallSite, list[int]] = {}
        for index in range(len(opened) - 1, max(-1, len(opened) - _LOOKED_AT), -1):
            block, site = opened[index]
            if block == size:
                del opened[index]
                return True
            together = places.setdefault(site, [])
            together.append(index)
            if sum(opened[at][0] for at in together) == size:
                for at in together:  # the last one first
                    del opened[at]
                return True
        return False

    def _give_newest(self, size: int) -> None:
        while size > 0 and self._open:
            newest, site = self._open.pop()
            if newest > size:
                self._open.append((newest - size, site))
            size -= newest


class _Watch:
    """The events of one thread, and the heap between them."""

    def __init__(self, heap: Callable[[], int]) -> None:
        self.balance = Balance()
        self.stacks: dict[CallSite, Stack] = {}
        self._heap = heap
        self._thread = threading.get_ident()
        self._code: CodeType | None = None
        self._line = 0
        self._last = heap()

    def passed(self, frame: FrameType | None) -> None:
        """Note what the line before has taken; the program is in ``frame`` now."""
        if frame is None or threading.get_ident() != self._thread:
            return
        grown = self._heap() - self._last
        if grown:
            self._note(grown, None, self._before(frame))
        self._code, self._line = frame.f_code, frame.f_lineno

    def returned(self, frame: FrameType, function: object) -> None:
        """Note what a call into C has taken, which was made in ``frame``."""
        if threading.get_ident() != self._thread:
            return
        grown = self._heap() - self._last
        if grown:
            self._note(grown, function_name(function), _stack(frame))

    def _note(self, grown: int, function: str | None, stack: Stack) -> None:
        if grown < 0:
            self.balance.give_back(-grown)
        elif stack:
            site = CallSite(function, stack[0])
            self.balance.take(grown, site)
            if len(self.stacks) < _OPEN_BLOCKS:
                self.stacks.setdefault(site, stack)
        self._last = self._heap()  # what is noted takes memory, too

    def _before(self, frame: FrameType) -> Stack:
        """Return the stack of the line before, from where the program is now."""
        if self._code is None or is_own(self._code.co_filename):
            return ()
        caller: FrameType | None = frame
        if frame.f_code is self._code:
            caller = frame.f_back
        elif frame.f_back is not None and frame.f_back.f_code is self._code:
            caller = frame.f_back.f_back
        return (self._code.co_filename, self._line), *_stack(caller)


def _stack(frame: FrameType | None) -> Stack:
    found: list[tuple[str, int]] = []
    while frame is not None and len(found) < _FRAMES:
        file = frame.f_code.co_filename
        if is_own(file):
            break
        found.append((file, frame.f_lineno))
        frame = frame.f_back
    return tuple(found)


@contextmanager
def _profiled(watch: _Watch) -> Iterator[Unknown | None]:
    """Watch by ``sys.setprofile``, and line by line where no debugger does.

    A profile function is told of functions and methods written in C, and not of
    classes or of ``ctypes``: those are known by their line alone.
    """

    def profile(frame: FrameType, event: str, arg: object) -> None:
        with suppress(Exception):
            if event in {"c_return", "c_exception"}:
                watch.returned(frame, arg)
            else:
                watch.passed(frame.f_back if event == "return" else frame)

    def trace(frame: FrameType, _event: str, _arg: object) -> Any:  # noqa: ANN401
        with suppress(Exception):
            watch.passed(frame)
        return trace

    is_traced = sys.gettrace() is not None
    try:
        if not is_traced:
            sys.settrace(trace)
        sys.setprofile(profile)
        yield None
    finally:
        sys.setprofile(None)
        if not is_traced:
            sys.settrace(None)


@contextmanager
def _monitored(watch: _Watch) -> Iterator[Unknown | None]:
    """Watch by ``sys.monitoring`` (PEP 669), which is told of whatever is called."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    events, tool = monitoring.events, monitoring.PROFILER_ID
    if monitoring.get_tool(tool) is not None:
        yield Unknown("a profiler is set")
        return

    def passed(*_: object) -> None:
        with suppress(Exception):
            watch.passed(sys._getframe(1))  # noqa: SLF001 - documented, for debuggers

    def returned(_code: CodeType, _offset: int, function: object, _arg: object) -> None:
        with suppress(Exception):
            watch.returned(sys._getframe(1), function)  # noqa: SLF001 - as above

    callbacks: dict[int, Callable[..., None]] = {
        events.C_RETURN: returned,
        events.C_RAISE: returned,
        **dict.fromkeys(
            (events.CALL, events.LINE, events.PY_START, events.PY_RESUME), passed
        ),
    }
    monitoring.use_tool_id(tool, _TOOL)
    try:
        for event, callback in callbacks.items():
            monitoring.register_callback(tool, event, callback)
        monitoring.set_events(tool, sum(callbacks))
        yield None
    finally:
        monitoring.set_events(tool, 0)
        for event in callbacks:
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
