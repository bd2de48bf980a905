"""Where retention paths begin: what lives by itself, and how it is called."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import signal
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from leakguard._readers import edges, roots
from leakguard._readers.edges import is_shown
from leakguard._readers.paths import describe
from leakguard._readers.roots import Roots, running_locals
from leakguard._readers.search import climb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from types import ModuleType

    Program = Callable[..., ModuleType]


class Item:
    """What is held."""


def _path(kept: list[Any]) -> str:
    """Return the path to the one item, which the list hands over."""
    return describe(climb(kept.pop(), hidden={id(kept)}, out_of_time=lambda: False))[0]


HERE = __name__
LOCAL = threading.local()
REQUEST: contextvars.ContextVar[object] = contextvars.ContextVar("request")


def test_what_a_thread_keeps_for_itself_is_named_by_its_variable() -> None:
    LOCAL.kept = [item := Item()]
    assert _path([item]) == f"{HERE}.LOCAL.kept[…]"
    del LOCAL.kept


def test_what_a_context_variable_holds_is_named_by_it() -> None:
    token = REQUEST.set([item := Item()])
    assert _path([item]) in {"context.request[…]", "main() task.request[…]"}
    REQUEST.reset(token)


def test_a_default_of_a_context_variable_is_what_it_gets(program: Program) -> None:
    shop = program("""
        import contextvars
        VAR = contextvars.ContextVar("var", default=[[]])
    """)
    chain = climb(shop.VAR.get(), hidden=set(), out_of_time=lambda: False)
    assert describe(chain)[0] == "shop.VAR.get()"


def test_a_pending_task_is_named_by_its_coroutine() -> None:
    async def wait(event: asyncio.Event, kept: list[Item]) -> None:
        held = kept.pop()
        await event.wait()
        assert held

    async def main() -> str:
        event, kept = asyncio.Event(), [Item()]
        known = weakref.ref(kept[0])
        task = asyncio.ensure_future(wait(event, kept))
        await asyncio.sleep(0)
        found = _path([known()])
        event.set()
        await task
        return found

    assert asyncio.run(main()) == "wait() task.held"


def test_a_suspended_generator_is_named_by_its_function() -> None:
    def batches() -> Generator[None]:
        held = [Item()]
        yield
        assert held

    running = batches()
    next(running)
    frame = running.gi_frame
    assert frame is not None
    kept = list(frame.f_locals["held"])
    del frame
    assert _path(kept) == "batches() generator.held[…]"


def test_a_generator_with_a_name_is_named_by_it(program: Program) -> None:
    shop = program("""
        def batches():
            held = [[]]
            yield held

        RUNNING = batches()
    """)
    held = next(shop.RUNNING)
    chain = climb(held, hidden=set(), out_of_time=lambda: False)
    assert describe(chain)[0] == "shop.RUNNING.held"


def test_an_async_generator_is_suspended_code_as_well() -> None:
    async def stream() -> AsyncGenerator[list[Item]]:
        held = [Item()]
        yield held

    async def first(running: AsyncGenerator[list[Item]]) -> list[Item]:
        return list(await running.__anext__())

    loop = asyncio.new_event_loop()
    running = stream()
    kept = loop.run_until_complete(first(running))
    assert _path(kept) == "stream() generator.held[…]"
    loop.run_until_complete(running.aclose())
    loop.close()


def test_a_handler_of_a_signal_is_named_by_its_signal(program: Program) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("handlers are set in the main thread")
    shop = program("""
        class Service:
            def __init__(self):
                self.kept = [[]]

            def stop(self, number, frame):
                pass
    """)
    service = shop.Service()
    before = signal.signal(signal.SIGUSR1, service.stop)
    kept = service.kept.copy()
    del service
    path = describe(climb(kept.pop(), hidden={id(kept)}, out_of_time=lambda: False))[0]
    signal.signal(signal.SIGUSR1, before)
    assert path == "signal.getsignal(SIGUSR1).__self__.kept[…]"


def test_a_tracing_function_is_named_by_its_hook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "getprofile", lambda: print)
    assert Roots().held_by_c[id(print)] == "sys.getprofile()"


def test_what_only_c_code_calls_is_said_to_be_so(program: Program) -> None:
    shop = program("""
        class Job:
            def __init__(self):
                self.kept = [[]]

            def close(self):
                pass
    """)
    job = shop.Job()
    close, kept = job.close, job.kept.copy()
    atexit.register(close)
    del job
    try:
        hidden = {id(kept)}
        chain = climb(kept.pop(), hidden=hidden, out_of_time=lambda: False)
        path = describe(chain)[0]
    finally:
        atexit.unregister(close)
    # The test has it at hand as well, which is found where C code tells nothing.
    assert path.endswith("__self__.kept[…]")


def test_a_callback_of_c_code_has_a_name() -> None:
    assert Roots().name([].append) == (
        "a callback of native code, a builtin_function_or_method"
    )


def test_an_exception_keeps_its_frames_by_name(program: Program) -> None:
    shop = program("""
        ERRORS = []

        def fail():
            try:
                held = [[]]
                raise ValueError
            except ValueError as error:
                ERRORS.append(error)
                return held

        fail()
    """)
    (error,) = shop.ERRORS
    held = error.__traceback__.tb_frame.f_locals["held"]
    chain = climb(held, hidden=set(), out_of_time=lambda: False)
    assert describe(chain)[0] == "shop.ERRORS[…].__traceback__.tb_frame.held"


def test_variables_of_running_functions_are_seen_in_all_threads() -> None:
    begun, over = threading.Event(), threading.Event()
    item = Item()

    def work(held: Item) -> None:
        begun.set()
        over.wait(60)
        assert held

    thread = threading.Thread(target=work, args=(item,))
    thread.start()
    assert begun.wait(60)
    holding = {
        frame.f_code.co_name for frame, value in running_locals() if value is item
    }
    over.set()
    thread.join()
    assert "work" in holding


def test_frames_of_ours_hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roots, "is_own", lambda _file: True)
    assert list(running_locals()) == []


@pytest.mark.parametrize("key", ["order", "vip_users"])
def test_a_key_that_the_program_wrote_is_shown(key: str) -> None:
    assert is_shown(key, 64, Roots())
    assert not is_shown(key, 65, Roots()), "a table of the program's is not that long"


def test_a_key_that_came_from_elsewhere_is_not_shown() -> None:
    came_in = b"order from a socket".decode().replace(" ", "_")
    assert not is_shown(came_in, 3, Roots())


def test_a_key_in_the_code_of_a_function_is_shown(program: Program) -> None:
    program("""
        class Views:
            def created(self):
                return [lambda: "order.created"]
    """)
    key = b"order.created".decode()
    assert is_shown(key, 3, Roots())
    assert not is_shown(key + ".late", 3, Roots())


def test_asking_about_keys_is_bounded_where_it_leaves_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(sys, "_is_interned", raising=False)
    monkeypatch.setattr(sys, "version_info", (3, 12))
    monkeypatch.setattr(edges, "_questions_left", 1)
    assert edges._is_kept("order")
    assert not edges._is_kept("order")
