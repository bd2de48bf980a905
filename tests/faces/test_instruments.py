"""Resources by the line that acquires them, for each package that is known."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import concurrent.futures
import functools
import gc
import importlib
import importlib.util
import io
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import types
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leakguard
from leakguard import LeakguardError, instruments
from leakguard._instruments.registry import FAMILIES
from leakguard._runtime.monitor import process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leakguard.instruments import Held

PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _uninstrumented() -> Iterator[None]:
    yield
    leakguard.uninstrument()
    assert process().retention.book.failures == 0


def here(what: str) -> list[Held]:
    """Return the lines of this file that acquired something of a kind."""
    rows = [row for row in instruments.held() if row.file == __file__]
    return [row for row in rows if what in row.what]


def only(what: str) -> tuple[int, int, int]:
    """Return acquired, unreleased and dropped of the one line of this file."""
    (row,) = here(what)
    return row.acquired, row.unreleased, row.dropped


def attribute(module: str, path: str) -> object:
    """Return what an owner has of its own, past any descriptor."""
    *parts, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in parts:
        owner = getattr(owner, part)
    return vars(owner).get(name)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_patched_is_the_very_same_afterwards(name: str) -> None:
    pytest.importorskip(name)
    targets = [(target.module, target.path) for target in FAMILIES[name]]
    before = [attribute(*target) for target in targets]
    for _ in range(2):
        leakguard.instrument(name)
        during = [attribute(*target) for target in targets]
        assert not any(old is new for old, new in zip(before, during, strict=True))
        leakguard.uninstrument()
        after = [attribute(*target) for target in targets]
        assert all(old is new for old, new in zip(before, after, strict=True))
    assert instruments.held() == ()


def test_without_names_it_is_all_that_is_installed() -> None:
    leakguard.instrument()
    leakguard.instrument()  # twice is once
    assert {"io", "socket", "threading"} <= process().instruments.names
    with open(__file__, "rb"):
        pass
    assert only("files") == (1, 0, 0)


def test_names_and_graces_without_sense_are_refused() -> None:
    with pytest.raises(LeakguardError, match="knows no 'mongodb'; it knows asyncio, "):
        leakguard.instrument("mongodb")
    with pytest.raises(LeakguardError, match="grace_seconds must be above 0, not 0"):
        leakguard.instrument("io", grace_seconds=0)


def module(name: str, **names: object) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(names)
    return made


def test_a_package_that_is_absent_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyee"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    leakguard.instrument("pyee")
    leakguard.uninstrument()
    assert [record.getMessage() for record in caplog.records] == [
        "instrument: not installed: pyee"
    ]
    leakguard.instrument()  # asked for by nobody
    assert len(caplog.records) == 1


def test_another_version_is_left_alone_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class EventEmitter:
        def _add_event_handler(self) -> None:
            """Is there; the others are not."""

    add = vars(EventEmitter)["_add_event_handler"]
    base = module("pyee.base", EventEmitter=EventEmitter)
    package = module("pyee", __version__="99.1", base=base)
    monkeypatch.setitem(sys.modules, "pyee", package)
    monkeypatch.setitem(sys.modules, "pyee.base", base)
    leakguard.instrument("pyee", "io")
    assert vars(EventEmitter)["_add_event_handler"] is add
    (record,) = caplog.records
    assert "pyee (99.1) is not as leakguard knows it" in record.getMessage()
    assert process().instruments.names == {"io"}


def test_a_package_is_patched_when_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyee"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "pyee").mkdir()
    (tmp_path / "pyee" / "__init__.py").write_text("", "utf-8")
    (tmp_path / "pyee" / "base.py").write_text(
        "class EventEmitter:\n"
        "    def _add_event_handler(self, event, k, v): pass\n"
        "    def _remove_listener(self, event, f): pass\n"
        "    def remove_all_listeners(self, event=None): pass\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    leakguard.instrument("pyee")
    base = importlib.import_module("pyee.base")
    emitter = base.EventEmitter()
    emitter._add_event_handler("order", print, print)
    assert only("listeners") == (1, 1, 0)
    leakguard.uninstrument()
    assert not hasattr(vars(base.EventEmitter)["_remove_listener"], "__wrapped__")
    # Imported anew after all was undone, it stays bare: the hook finds nothing to do.
    leakguard.instrument("pyee")
    leakguard.uninstrument()
    del sys.modules["pyee.base"]
    base = importlib.import_module("pyee.base")
    assert not hasattr(vars(base.EventEmitter)["_remove_listener"], "__wrapped__")
    del sys.modules["pyee.base"], sys.modules["pyee"]


def test_what_another_has_wrapped_meanwhile_stays_and_counts_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bare = io.open
    leakguard.instrument("io")
    ours = io.open
    monkeypatch.setattr(io, "open", functools.partial(ours))
    leakguard.uninstrument()
    assert "io.open was replaced by another meanwhile" in caplog.text
    assert builtins.open is bare
    with io.open(__file__, "rb"):  # noqa: UP020
        assert instruments.held() == ()
    monkeypatch.setattr(io, "open", bare)


def test_errors_and_results_are_the_originals() -> None:
    leakguard.instrument("io", "sqlite3")
    with pytest.raises(FileNotFoundError):
        open("/nowhere/at/all")
    with pytest.raises(TypeError, match=r"missing|takes"):
        sqlite3.connect()  # type: ignore[call-arg]

    class Reader:
        opener = open  # a function of Python's would bind here

    with Reader().opener(__file__) as file:
        assert isinstance(file, io.TextIOWrapper)


def test_files() -> None:
    leakguard.instrument("io")
    files = [open(__file__, "rb") for _ in range(3)]
    files[0].close()
    (row,) = here("files")
    assert (row.acquired, row.unreleased, row.dropped) == (3, 2, 0)
    assert row.oldest_seconds > 0
    for file in files:
        file.close()
    assert only("files") == (3, 0, 0)


def test_sockets() -> None:
    leakguard.instrument("socket")
    one, two, three = (socket.socket() for _ in range(3))
    one.close()
    socket.close(two.detach())
    assert only("sockets") == (3, 1, 0)
    with pytest.warns(ResourceWarning):
        del three
    assert only("sockets") == (3, 0, 1)


def test_connections_and_cursors_of_sqlite3() -> None:
    leakguard.instrument("sqlite3")
    connections = [sqlite3.connect(":memory:") for _ in range(3)]
    assert type(connections[0]).__module__ == "sqlite3"
    cursors = [connection.cursor() for connection in connections]
    assert cursors[0].execute("select 1").fetchone() == (1,)
    cursors.pop().close()
    assert only("cursors") == (3, 2, 0)
    cursors.clear()
    assert only("cursors") == (3, 0, 2)
    connections[0].close()
    connections[1].close()
    assert only("connections") == (3, 1, 0)
    connections.pop().close()

    class Connection(sqlite3.Connection):
        """An application's own."""

    own = sqlite3.connect(":memory:", factory=Connection)
    assert type(own) is Connection
    own.close()


def test_threads() -> None:
    leakguard.instrument("threading", "concurrent.futures")
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(3)]
    for thread in threads[:2]:
        thread.start()
    assert only("threads") == (3, 3, 0)
    over.set()
    for thread in threads[:2]:
        thread.join()
    assert only("threads") == (3, 1, 0)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        assert only("executors") == (1, 1, 0)
    assert only("executors") == (1, 0, 0)
    assert only("threads") == (3, 1, 0)  # a pool's are the pool's


def test_tasks_and_their_signal_handlers() -> None:
    leakguard.instrument("asyncio")

    def made() -> tuple[int, int, int]:
        (row,) = (row for row in here("tasks") if row.acquired > 1)  # not main's
        return row.acquired, row.unreleased, row.dropped

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, int)
        tasks = [asyncio.create_task(asyncio.sleep(n)) for n in (0, 3_600, 3_600)]
        await tasks[0]
        assert made() == (3, 2, 0)
        assert only("signal handlers") == (1, 1, 0)
        loop.remove_signal_handler(signal.SIGUSR1)
        assert only("signal handlers") == (1, 0, 0)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert made() == (3, 0, 0)

    asyncio.run(main())


def test_exceptions_that_are_never_retrieved() -> None:
    leakguard.instrument("asyncio")
    told: list[dict[str, Any]] = []

    async def fail() -> None:
        raise ValueError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        for _ in range(2):
            task = asyncio.create_task(fail())
            await asyncio.wait([task])
            del task
        gc.collect()
        loop.call_exception_handler({"message": "another matter"})

    asyncio.run(main())
    assert len(told) == 3
    (row,) = here("exceptions")
    (task,) = (held for held in here("tasks") if held.acquired == 2)
    assert (row.line, row.acquired, row.dropped) == (task.line, 2, 2)


def test_logging_handlers() -> None:
    leakguard.instrument("logging")
    logger = logging.getLogger(f"{__name__}.handlers")
    handlers = [logging.NullHandler() for _ in range(3)]
    for handler in handlers:
        logger.addHandler(handler)
    logger.addHandler(hdlr=handler)  # is there already
    logger.removeHandler(handlers[0])
    rows = here("logging handlers")
    assert sum(row.unreleased for row in rows) == 2
    for handler in handlers:
        logger.removeHandler(handler)


def test_functions_for_the_exit() -> None:
    leakguard.instrument("atexit")

    def farewell(*_: object) -> None:
        raise AssertionError

    for number in range(3):
        atexit.register(farewell, number)
    assert only("atexit") == (3, 3, 0)
    atexit.unregister(farewell)
    assert only("atexit") == (3, 0, 0)


def test_finalizers() -> None:
    leakguard.instrument("weakref")

    class Item:
        pass

    items = [Item() for _ in range(4)]
    finalizers = [weakref.finalize(item, int) for item in items]
    assert only("finalizers") == (4, 4, 0)
    finalizers[0].detach()
    finalizers[1]()
    assert only("finalizers") == (4, 2, 0)
    items.clear()
    assert only("finalizers") == (4, 0, 0)


def test_lru_caches() -> None:
    leakguard.instrument("functools")

    @functools.cache
    def double(number: int) -> int:
        return 2 * number

    @functools.lru_cache
    def bounded(number: int) -> int:
        return number

    class Shop:
        @functools.cache  # noqa: B019 - what is looked for
        def price(self, number: int) -> int:
            return number

        @functools.lru_cache(maxsize=2)  # noqa: B019
        def stock(self, number: int) -> int:
            return number

    shop = Shop()
    for number in range(5):
        double(number), bounded(number), shop.price(number), shop.stock(number)
    (plain,) = [row for row in here("unbounded lru") if "methods" not in row.what]
    assert (plain.acquired, plain.unreleased) == (1, 5)
    assert only("unbounded lru_caches on methods") == (1, 5, 0)
    on_method = [row for row in here("lru_caches on methods") if row.unreleased == 2]
    assert len(on_method) == 1
    assert double.__name__ == "double"


def test_caches_of_cachetools() -> None:
    cachetools = pytest.importorskip("cachetools")
    leakguard.instrument("cachetools")
    unbounded = cachetools.LRUCache(maxsize=float("inf"))
    bounded = cachetools.LRUCache(maxsize=8)
    for number in range(5):
        unbounded[number] = bounded[number] = number
    assert only("maxsize=inf") == (1, 5, 0)

    @cachetools.cached({})
    def double(number: int) -> int:
        return 2 * number

    @cachetools.cached(bounded)
    def triple(number: int) -> int:
        return 3 * number

    assert [double(2), double(2), double(3), triple(2)] == [4, 4, 6, 6]
    assert only("in a dict") == (1, 2, 0)


def test_an_exception_of_an_unknown_task_is_its_coroutines() -> None:
    leakguard.instrument("asyncio")

    async def fail() -> None: ...

    class Task:
        def get_coro(self) -> object:
            return coroutine

    coroutine, loop = fail(), asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    context = {"message": "Task exception was never retrieved", "future": Task()}
    loop.call_exception_handler(context)
    coroutine.close()
    loop.close()
    (row,) = here("exceptions")
    assert (row.line, row.dropped) == (fail.__code__.co_firstlineno, 1)


def test_listeners_of_pyee() -> None:
    pyee = pytest.importorskip("pyee")
    leakguard.instrument("pyee")
    emitter = pyee.EventEmitter()

    class Page:
        def show(self, *_: object) -> None: ...

    page = Page()
    emitter.on("order", page.show)
    emitter.on("order", print)
    emitter.once("paid", page.show)
    assert [row.unreleased for row in here("listeners")] == [1, 1, 1]
    emitter.remove_listener("order", page.show)
    emitter.emit("paid")
    assert [row.unreleased for row in here("listeners")] == [1, 0, 0]
    emitter.on("order", page.show)
    emitter.remove_all_listeners("order")
    assert not any(row.unreleased for row in here("listeners"))
    emitter.on("order", print)
    emitter.remove_all_listeners()
    assert not any(row.unreleased for row in here("listeners"))
    emitter.on("order", print)
    del emitter
    gc.collect()
    assert not any(row.unreleased for row in here("listeners"))


def test_receivers_of_blinker() -> None:
    blinker = pytest.importorskip("blinker")
    leakguard.instrument("blinker")
    ordered = blinker.Signal()

    def weakly(_: object) -> None: ...

    class Page:
        def show(self, _: object) -> None: ...

    page = Page()
    for receiver in (weakly, page.show, print):
        ordered.connect(receiver)
    assert only("receivers") == (3, 3, 0)
    ordered.disconnect(print)
    del receiver, weakly
    gc.collect()
    assert only("receivers") == (3, 1, 0)
    page.show(None)


def test_sessions_and_responses_of_requests(http_server: str) -> None:
    requests = pytest.importorskip("requests")
    leakguard.instrument("requests")
    session = requests.Session()
    responses = [session.get(http_server, stream=True) for _ in range(3)]
    assert session.get(http_server).ok  # read at once
    responses[0].close()
    assert responses[1].content == b"hello"
    (row,) = (row for row in here("responses") if row.acquired)
    assert (row.acquired, row.unreleased) == (3, 1)
    responses.pop().close()
    assert only("clients") == (1, 1, 0)
    session.close()
    assert only("clients") == (1, 0, 0)


def test_clients_and_responses_of_httpx(http_server: str) -> None:
    httpx = pytest.importorskip("httpx")
    leakguard.instrument("httpx")
    with httpx.Client(trust_env=False) as client:
        assert client.get(http_server).text == "hello"
        with client.stream("GET", http_server) as streamed:
            (row,) = here("responses")
            assert (row.acquired, row.unreleased) == (1, 1)
            streamed.read()
        assert only("responses") == (1, 0, 0)
        assert only("clients") == (1, 1, 0)
    assert only("clients") == (1, 0, 0)

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            async with client.stream("GET", http_server):
                assert [row.unreleased for row in here("responses")] == [1, 0]
            assert [row.unreleased for row in here("responses")] == [0, 0]
            assert [row.unreleased for row in here("clients")] == [1, 0]
        assert [row.unreleased for row in here("clients")] == [0, 0]

    asyncio.run(main())


def test_connections_and_cursors_of_pymysql() -> None:
    pymysql = pytest.importorskip("pymysql")
    leakguard.instrument("pymysql")
    connections = [pymysql.Connection(defer_connect=True) for _ in range(3)]
    cursors = [connections[0].cursor() for _ in range(3)]
    cursors.pop().close()
    assert only("cursors") == (3, 2, 0)
    connections.pop().close()
    connections.pop()._force_close()
    assert only("connections") == (3, 1, 0)


@pytest.fixture
def http_server() -> Iterator[str]:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_diagnose_names_the_line_that_does_not_release() -> None:
    kept: list[sqlite3.Connection] = []
    leakguard.instrument("sqlite3")

    def leak() -> None:
        kept.append(sqlite3.connect(":memory:"))

    def close() -> None:
        sqlite3.connect(":memory:").close()

    report = leakguard.diagnose(leak, calls=60, seconds=4)
    (found,) = [s for s in report.suspects if s.source == "resource"]
    assert found.site is not None
    assert found.site.line == leak.__code__.co_firstlineno + 1
    assert found.pattern == "unclosed-connection"
    assert found.growth_count_per_call
    report = leakguard.diagnose(close, calls=60, seconds=4)
    assert [s for s in report.suspects if s.source == "resource"] == []
    for connection in kept:
        connection.close()


def report_of(guard: leakguard.Guard) -> list[Any]:
    return [s for s in guard.report().suspects if s.source == "resource"]


def test_the_guards_report_names_what_piles_up() -> None:
    leakguard.instrument("socket", grace_seconds=1e-9)
    kept: list[socket.socket] = []
    retention = process().retention
    for _ in range(9):
        kept += [socket.socket()]
        retention.look()
    guard = leakguard.Guard()
    (found,) = report_of(guard)
    assert found.site.file == __file__
    assert "9 of 9 sockets of this line are not released" in found.hint
    for one in kept[:5]:
        one.close()
    retention.look()
    assert report_of(guard) == []
    kept += [socket.socket() for _ in range(9)]
    retention.look()
    leakguard.uninstrument()
    assert report_of(guard) == []
    for one in kept:
        one.close()


IMPORTED_LATER = """if True:
    import importlib, logging, sys
    logging.basicConfig(level="WARNING", stream=sys.stdout)
    import leakguard
    from leakguard._instruments.registry import FAMILIES
    from leakguard._runtime.monitor import process
    leakguard.instrument()
    wanted = process().instruments.names
    for target in (t for name in wanted for t in FAMILIES[name]):
        importlib.import_module(target.module)
    patched = process().instruments.patched()
    assert set(patched) == {t for name in wanted for t in FAMILIES[name]}
    leakguard.uninstrument()
    for target in patched:
        owner = sys.modules[target.module]
        *path, name = target.path.split(".")
        for part in path:
            owner = getattr(owner, part)
        code = getattr(getattr(owner, name), "__code__", None)
        assert "_instruments" not in str(code), target
"""


def test_all_that_is_imported_later_is_patched_and_restored() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_LATER],
        cwd=Path(leakguard.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_counts_its_own_and_can_undo() -> None:
    leakguard.instrument("socket")
    bare = attribute("socket", "socket.__init__").__wrapped__  # type: ignore[attr-defined]
    mine = socket.socket()
    child = os.fork()
    if child == 0:
        forgotten = instruments.held() == ()
        yours = socket.socket()
        counted = [row.unreleased for row in instruments.held()] == [1]
        yours.close()
        leakguard.uninstrument()
        undone = attribute("socket", "socket.__init__") is bare
        os._exit(0 if forgotten and counted and undone else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert only("sockets") == (1, 1, 0)
    mine.close()
