"""Turn tracemalloc on and off without crashing a process that runs threads.

``tracemalloc.start()`` and ``stop()`` swap the allocators word by word. Whoever
allocates or frees *without the GIL* at that instant can crash the interpreter: a
thread being born or dying, or one inside a call that allocates outside the GIL
(``_readers.threads.OUTSIDE_GIL``). So a toggle waits for a moment in which nobody does.

Rules of this file: nothing is patched except between ``Fence.__enter__`` and
``__exit__``; a held ``Thread.start`` is let go after a bound; a toggle that finds
no quiet moment is refused with a reason, never forced and never raised; no lock is
waited for without a bound, so gc callbacks and signal handlers may come in.

What it cannot see: a C thread that enters Python between two looks; such a call
under an alias; one that a C extension makes without the GIL of its own.
"""

from __future__ import annotations

import os
import threading
import tracemalloc
from dataclasses import dataclass
from functools import partial, wraps
from itertools import chain, starmap
from operator import attrgetter, ne
from typing import TYPE_CHECKING, Any, Final, Literal

from leakguard._core.records import Unknown
from leakguard._readers.threads import (
    Host,
    allocating_call,
    native,
    paused_collector,
)

if TYPE_CHECKING:
    import _thread
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from typing_extensions import Self

    from leakguard._readers.threads import Memo, Sight

#: No thread may have come or gone for this long.
QUIET_SECONDS: Final = 0.002
#: A toggle that found no quiet moment by then is refused.
TIMEOUT_SECONDS: Final = 0.2
#: ``Thread.start`` is held no longer than this, whatever happens.
PATIENCE_SECONDS: Final = 0.25
POLL_SECONDS: Final = 0.0005
#: A kernel thread that Python does not know may be a Python thread in its last
#: throes, kept from the processor. One that lives on and sleeps is not; nor is one
#: that lives on for so long that no scheduler can have starved it.
SETTLE_SECONDS: Final = 0.02
STARVED_SECONDS: Final = 2.0

_ONCE: Final[tuple[tuple[()]]] = ((),)
_place = attrgetter("f_lasti")
_MARK: Final = "_leakguard_gate"

_HOST = Host()
_clock = _HOST.clock
_sleep = _HOST.sleep
_RLock: Callable[[], _thread.RLock] = native("_thread", "RLock")
_get_ident: Callable[[], int] = native("_thread", "get_ident")


@dataclass(frozen=True, slots=True)
class _Hold:
    """A toggle that waits: whose, and when starts may ignore it."""

    ident: int
    expires_at: float


class _Gate:
    """Holds ``Thread.start`` back while a toggle waits; the process has one.

    ``flights`` are the threads inside a start. A start enters it *before* it looks
    for a hold and a toggle takes the hold *before* it looks for flights, so one of
    the two always sees the other. Starts poll: a lock could be lost in a fork or to
    an exception between two bytecodes, a hold expires.
    """

    def __init__(self) -> None:
        self.users: dict[object, int] = {}
        self.wrapper: Callable[..., None] | None = None
        self.original: Callable[..., None] | None = None
        self.seen_since: dict[int, float] = {}
        self.seen_alive: frozenset[int] = frozenset()
        self.fork_hook = False
        self.reset()

    def reset(self) -> None:
        """In a forked child: the other threads, and all they held, are gone."""
        self.installing = _RLock()
        self.holds: dict[str, _Hold] = {}
        self.flights: set[int] = set()
        self.seen_since.clear()
        self.seen_alive = frozenset()
        me = _get_ident()
        for user in [user for user, ident in self.users.items() if ident != me]:
            self.leave(user)

    def enter(self, user: object) -> None:
        """Install the gate for one more user."""
        with self.installing:
            self.users[user] = _get_ident()
            if not self.fork_hook and hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self.reset)
                self.fork_hook = True
            if self.wrapper is None:
                self.original = _unwrapped(threading.Thread.start)
                self.wrapper = self._gated(self.original)
                threading.Thread.start = self.wrapper  # type: ignore[method-assign]

    def leave(self, user: object) -> None:
        """Uninstall it with the last one, unless somebody patched over it.

        Their patch then keeps calling our wrapper, which lets everything through.
        """
        with self.installing:
            self.users.pop(user, None)
            if self.users or self.wrapper is None or self.original is None:
                return
            if threading.Thread.start is self.wrapper:
                threading.Thread.start = self.original  # type: ignore[method-assign]
            self.wrapper = self.original = None

    def _gated(self, original: Callable[..., None]) -> Callable[..., None]:
        @wraps(original)
        def start(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
            me = _get_ident()
            # Not again, where a patch on top of ours keeps two wrappers alive.
            outermost = me not in self.flights
            try:
                if outermost:
                    self._board(me)
                original(*args, **kwargs)
            finally:
                if outermost:
                    self.flights.discard(me)

        vars(start)[_MARK] = id(start)
        return start

    def _board(self, me: int) -> None:
        patience_ends_at: float | None = None
        while True:
            self.flights.add(me)
            hold = self.holds.get("toggle")
            if hold is None or hold.ident == me:
                return
            now = _clock()
            if patience_ends_at is None:
                patience_ends_at = now + PATIENCE_SECONDS
            if now >= min(patience_ends_at, hold.expires_at):
                return  # the toggle sees the flight, and waits or is refused
            self.flights.discard(me)
            _sleep(POLL_SECONDS)

    def hold(self, mine: _Hold) -> str | None:
        """Hold starts back; return why not, if another toggle does already."""
        theirs = self.holds.setdefault("toggle", mine)  # atomic
        if theirs is mine:
            return None
        if theirs.ident == mine.ident:
            return "a toggle of this very thread is under way"
        if _clock() >= theirs.expires_at:
            self.release(theirs)
        return "another thread is toggling"

    def release(self, hold: _Hold) -> None:
        """Let the starts go, if it was this hold that kept them."""
        if self.holds.get("toggle") is hold:
            self.holds.pop("toggle", None)

    def ending(self, sight: Sight, host: Host) -> bool:
        """Return whether some kernel thread may be a Python thread about to die."""
        now, since = host.clock(), self.seen_since
        self.seen_alive = (self.seen_alive | sight.known) & sight.kernel
        self.seen_since = {tid: since.get(tid, now) for tid in sight.strangers}
        return any(
            self._is_ending(tid, now - at, host) for tid, at in self.seen_since.items()
        )

    def _is_ending(self, tid: int, age_seconds: float, host: Host) -> bool:
        if age_seconds < SETTLE_SECONDS or age_seconds >= STARVED_SECONDS:
            return age_seconds < SETTLE_SECONDS
        return tid in self.seen_alive or not host.is_asleep(tid)


def _unwrapped(start: Callable[..., None]) -> Callable[..., None]:
    """Return what an old wrapper of ours wraps: somebody's patch had kept it.

    By ``id``, since a patch made with ``functools.wraps`` copies our mark.
    """
    while getattr(start, "__dict__", {}).get(_MARK) == id(start):
        start = vars(start)["__wrapped__"]
    return start


_GATE = _Gate()


class Fence:
    """While entered, ``toggle()`` can hold ``Thread.start`` back for its moment.

    Re-entrant; several fences may be entered at once, by any thread. After a
    ``toggle`` that returned False, ``refusal`` says why.
    """

    def __init__(
        self,
        *,
        host: Host = _HOST,
        quiet_seconds: float = QUIET_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.refusal: Unknown | None = None
        self._host = host
        self._quiet_seconds = quiet_seconds
        self._timeout_seconds = timeout_seconds
        self._entered: list[object] = []

    def __enter__(self) -> Self:
        user = object()
        self._entered.append(user)
        try:
            _GATE.enter(user)
        except BaseException:
            _GATE.leave(self._entered.pop())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _GATE.leave(self._entered.pop())

    def toggle(self, action: Callable[[], None]) -> bool:
        """Run ``action`` in a quiet moment; False, and ``refusal``, if none came.

        ``action`` should be a C function (or a ``functools.partial`` of one) that
        returns None: then no other thread runs between the last check and it. It
        runs at most once; what it raises is raised here.

        Cost: about 3 ms beside other threads, most of it asleep; 50 µs alone.
        """
        hold = _Hold(_get_ident(), _clock() + PATIENCE_SECONDS)
        with self:
            try:
                reason = self._watch(action, hold)
            finally:
                _GATE.release(hold)
        self.refusal = None if reason is None else Unknown(reason)
        return self.refusal is None

    def _watch(self, action: Callable[[], None], hold: _Hold) -> str | None:
        """Poll until it is quiet, then fire; the reason if it never was."""
        host, before = self._host, self._host.sight()
        if not before.alone and (reason := host.unsupported()):
            return reason
        starting, reason = True, "it was given no time"
        memo: Memo = {}
        quiet_since = started_at = host.clock()
        while (now := host.clock()) - started_at < self._timeout_seconds:
            if held_by_other := _GATE.hold(hold):
                reason = held_by_other
            else:
                was_starting, starting = starting, bool(_GATE.flights)
                sight = host.sight()
                if sight.count > before.count and not (was_starting or starting):
                    return "a thread was started without threading.Thread"
                if sight != before:
                    before, quiet_since = sight, host.clock()
                reason = self._noise(sight, now - quiet_since) or _fire(
                    action, _GATE.flights, host, sight.count, memo
                )
                if reason is None:
                    return None
            host.sleep(POLL_SECONDS)
        return reason

    def _noise(self, sight: Sight, quiet_seconds: float) -> str | None:
        """Return what speaks against toggling now."""
        if sight.alone:
            return None
        if _GATE.flights:
            return "a thread is being started"
        if _GATE.ending(sight, self._host):
            return "a thread is ending"
        if quiet_seconds < self._quiet_seconds:
            return "threads keep coming and going"
        return None


def _fire(
    action: Callable[[], None],
    flights: set[int],
    host: Host,
    count: int,
    memo: Memo,
) -> str | None:
    """Run ``action`` if no thread is anywhere it must not be; else say where.

    First each thread's place in its code is judged, which takes a while. Then C
    iterators alone see that all are still there and run the action: no bytecode in
    between, so no other thread gets the GIL.
    """
    frames: dict[int, FrameType] = {}
    with paused_collector():
        try:
            frames = host.frames()
            others = [f for ident, f in frames.items() if ident != _get_ident()]
            places = [frame.f_lasti for frame in others]
            for frame, place in zip(others, places, strict=True):
                if name := allocating_call(frame.f_code, place, memo):
                    return (
                        f"a thread is in {name}(), which may allocate without the GIL"
                    )
            noises = chain(
                starmap(flights.__len__, _ONCE),
                map(ne, starmap(host.count, _ONCE), (count,)),
                map(ne, starmap(host.frames, _ONCE), (frames,)),
                map(ne, map(_place, others), places),
            )
            moved = any(chain(noises, starmap(action, _ONCE)))
            return "threads keep running" if moved else None
        finally:
            frames.clear()  # our own frame is in there: a cycle
            others = []


def rest(seconds: float) -> None:
    """Sleep, as a native thread, even where gevent has replaced ``time.sleep``."""
    _sleep(seconds)


def toggle(action: Callable[[], None]) -> Literal[True] | Unknown:
    """Run ``action`` once in a quiet moment, or say why not. See ``Fence.toggle``."""
    fence = Fence()
    done = fence.toggle(action)
    return True if done else fence.refusal or Unknown("not toggled")


def start_tracing(nframe: int = 1) -> Literal[True] | Unknown:
    """Start tracemalloc behind the fence; test the answer with ``isinstance``.

    Tracing that already runs is left as it is: True.
    """
    if tracemalloc.is_tracing():
        return True
    return toggle(partial(tracemalloc.start, nframe))


def stop_tracing() -> Literal[True] | Unknown:
    """Stop tracemalloc behind the fence. Cost: also 0.1 µs per live trace.

    CPython before 3.13 forgets to free the stacks: 16 bytes, and 12 for each frame,
    of every distinct stack that was traced, each time tracing stops. A trivial Flask
    page loses 33 KB per window at 1 frame and 290 KB at 48.
    """
    if not tracemalloc.is_tracing():
        return True
    return toggle(tracemalloc.stop)
