"""The callable under diagnosis: run, counted, and its results dropped.

What this file allocates is the call itself (its number, the buffers of a work that is
written in C), so the windows keep its frames, unlike the rest of leakguard's.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from leakguard._core.records import LeakguardError

if TYPE_CHECKING:
    from collections.abc import Callable


#: For ``newborn_window(keep=…)``.
OWN_FILE = frozenset({__file__})


class WorkFailed(LeakguardError):  # noqa: N818 - it says what happened
    """The work under diagnosis raised; the original is the ``__cause__``.

    ``call`` is the number of the call, from 0.
    """

    def __init__(self, call: int, error: BaseException) -> None:
        """Name the call and the error's type; its message stays with the cause."""
        super().__init__(f"the work failed in call {call}: {type(error).__name__}")
        self.call = call


class Work:
    """The callable under diagnosis, run and counted; keeps no result."""

    def __init__(self, work: Callable[..., Any], clock: Callable[[], float]) -> None:
        """Look at the signature once; runs nothing."""
        self.calls = 0
        self.seconds = 0.0
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._one = _caller(work, self)

    def run(self, calls: int, until: float = float("inf")) -> int:
        """Run up to ``calls`` calls, or until the clock says so; return how many."""
        started = self._clock()
        done = 0
        try:
            while done < calls:
                self._one(self.calls)
                self.calls += 1
                done += 1
                if self._clock() >= until:
                    break
        except Exception as error:
            raise WorkFailed(self.calls, error) from error
        finally:
            self.seconds += self._clock() - started
        return done

    def await_in_loop(self, awaitable: Any) -> None:  # noqa: ANN401 - any awaitable
        """Run a coroutine in the one event loop that all calls share."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        try:
            self._loop.run_until_complete(awaitable)
        except RuntimeError:  # another loop runs in this thread: it was never begun
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            raise

    def close(self) -> None:
        """Cancel what the work left in the event loop, and close it."""
        if self._loop is None:
            return
        if _a_loop_runs():
            self._loop.close()
            return
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        if pending:
            self._loop.run_until_complete(
                asyncio.gather(*pending, return_exceptions=True)
            )
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        self._loop = None


def _a_loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _caller(work: Callable[..., Any], subject: Work) -> Callable[[int], None]:
    """Return how to make one call: with or without its number, sync or async."""
    numbered = _takes_number(work)
    is_async = inspect.iscoroutinefunction(work) or inspect.iscoroutinefunction(
        getattr(work, "__call__", None)  # noqa: B004 - its kind, not its presence
    )

    def call_async(number: int) -> None:
        subject.await_in_loop(work(number) if numbered else work())

    def call_sync(number: int) -> None:
        result = work(number) if numbered else work()
        if inspect.isawaitable(result):
            subject.await_in_loop(result)

    return call_async if is_async else call_sync


def _takes_number(work: Callable[..., Any]) -> bool:
    try:
        inspect.signature(work).bind()
    except TypeError:
        return True
    except ValueError:  # a builtin without a signature
        return False
    return _first_parameter_is_number(work)


def _first_parameter_is_number(work: Callable[..., Any]) -> bool:
    """Return whether an optional first parameter wants the call's number."""
    for parameter in inspect.signature(work).parameters.values():
        if parameter.kind not in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            return False
        return parameter.name in {"i", "n", "number", "index", "call"}
    return False
