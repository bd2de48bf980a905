"""What ``leakguard.growth`` is: a block measured once, or a function called often."""

from __future__ import annotations

import functools
import gc
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar, cast

from leakguard._core.records import LeakguardError
from leakguard._core.traces import NO_TRACES
from leakguard._core.units import format_bytes, parse_bytes
from leakguard._readers.heap import live_type_counts
from leakguard._readers.process import collects_automatically
from leakguard._runtime.keepsakes import Keepsakes
from leakguard._runtime.window import newborn_window
from leakguard.snapshots import Diff, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from leakguard._runtime.window import Window

    _F = TypeVar("_F", bound="Callable[..., Any]")


class Growth:
    """Measures what a block leaves behind, or holds a function to a limit per call.

        with leakguard.growth() as grown:
            ...
        print(grown.net_bytes, grown.diff)

        @leakguard.growth("1 KB")
        def test_checkout(): ...

    A block runs once, so all that it warms up counts; ``limit`` is for all of it, and
    it is not checked without one. A function is called until the growth per call is
    clear, and ``limit`` is per call.
    """

    def __init__(
        self,
        limit: int | str | None = None,
        *,
        calls: int | None = None,
        warmup: int | None = None,
        seconds: float = 1.0,
    ) -> None:
        """Remember the options; they are those of ``assert_no_growth``.

        Raises:
            LeakguardError: the limit is no size.

        """
        self._limit_bytes = None if limit is None else parse_bytes(limit)
        self._options = {"calls": calls, "warmup": warmup, "seconds": seconds}
        self._open: ExitStack | None = None
        self._diff: Diff | None = None

    @property
    def diff(self) -> Diff:
        """What the block left behind, by line and by type. Printed, it is a table."""
        if self._diff is None:
            raise LeakguardError("growth is known when its block has ended")
        return self._diff

    @property
    def net_bytes(self) -> int:
        """The bytes that the block allocated and that are still in use."""
        return self.diff.net_bytes

    def __call__(self, function: _F) -> _F:
        """Return the function, called again and again, with each call's growth held."""
        from leakguard.testing import DEFAULT_PER_CALL, assert_no_growth

        limit = DEFAULT_PER_CALL if self._limit_bytes is None else self._limit_bytes

        @functools.wraps(function)
        def held(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as it is
            work = functools.partial(function, *args, **kwargs)
            assert_no_growth(lambda: work(), limit, **self._options)  # type: ignore[arg-type]  # noqa: PLW0108 - a partial has no signature of its own

        return cast("_F", held)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._keepsakes = Keepsakes()
            gc.collect()
            self._window: Window = stack.enter_context(newborn_window())
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open is None:
            return
        with self._open:
            self._keepsakes.forget()
            if collects_automatically():
                gc.collect()
            traces = self._window.read_traces()
            types = live_type_counts() if self._window.frozen else None
        after = Snapshot(traces, types, 1, "")
        self._diff = after.since(Snapshot(NO_TRACES, types and {}, 1, ""))
        self._open = None
        if kind is None and self._limit_bytes is not None:
            self._hold(self._limit_bytes)

    def _hold(self, limit_bytes: int) -> None:
        if self.net_bytes <= limit_bytes:
            return
        from leakguard.testing import LeakError

        allowed, kept = format_bytes(limit_bytes), format_bytes(self.net_bytes)
        raise LeakError(
            f"the block keeps {kept}, more than {allowed}\n\n{self.diff}", None
        )
