"""The table of habits: each leak gets its name and a hint that mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core import patterns
from leakguard._core.patterns import Clues, Collector, match_pattern
from leakguard._core.records import Pattern
from tests.core.builders import quick


class Case(NamedTuple):
    """Evidence as a real program gives it, its habit, and a word of the hint."""

    habit: str
    pattern: Pattern
    hint: str
    clues: Clues


def _held(
    path: str, holder: str, *entries: str, types: str = "", way: str = ""
) -> Clues:
    """Return the clues of what a container at a path holds."""
    return Clues(
        types=tuple(types.split()),
        entry_types=entries,
        holder_type=holder,
        owner_path=path,
        owner_types=tuple(f"module {way} {holder}".split()),
    )


def _more(clues: Clues, **changed: object) -> Clues:
    return replace(clues, **changed)  # type: ignore[arg-type]


_LRU = "functools._lru_cache_wrapper"
_STORE = _held("shop.things", "dict", "shop.Order")

#: For each rule evidence that it alone decides, in the order of the table.
CASES = (
    Case(
        "thread-without-end",
        "thread",
        "join",
        Clues(is_native=True, threads_per_call=0.02),
    ),
    Case(
        "native-call",
        "native",
        "malloc (ctypes)",
        Clues(function="malloc (ctypes)", is_native=True),
    ),
    Case("native", "native", "C extension", Clues(is_native=True)),
    Case(
        "cycle-with-finalizer",
        "cycle",
        "shop.Stream",
        Clues(is_cycle=True, finalized=("shop.Stream",)),
    ),
    Case("cycle-without-collector", "cycle", "gc.enable()", Clues(is_cycle=True)),
    Case(
        "saved-garbage", "cycle", "DEBUG_SAVEALL", _held("gc.garbage", "list", "dict")
    ),
    Case(
        "lru-cache-on-method",
        "unbounded-cache",
        "self",
        _more(_held("shop.Quote.total", _LRU, way="type"), is_unbounded_lru=True),
    ),
    Case(
        "lru-cache-without-bound",
        "unbounded-cache",
        "maxsize",
        _more(_held("shop.total", _LRU, "_asyncio.Task"), is_unbounded_lru=True),
    ),
    Case(
        "pending-task",
        "task",
        "shop.jobs._running",
        _held("shop.jobs._running", "set", "_asyncio.Task"),
    ),
    Case(
        "pending-task",
        "task",
        "TaskGroup",
        _held("_asyncio._all_tasks.data", "set", "weakref.ReferenceType"),
    ),
    Case(
        "kept-future",
        "task",
        "give up",
        _held("shop.rpc._pending", "dict", "_asyncio.Future", "int"),
    ),
    Case(
        "cancelled-timer",
        "task",
        "Timers",
        _held("shop.loop._scheduled", "list", types="asyncio.events.TimerHandle"),
    ),
    Case(
        "thread-without-end",
        "thread",
        "join",
        Clues(types=("threading.Thread", "threading.Event")),
    ),
    Case(
        "thread-without-end",
        "thread",
        "join",
        _held("threading._active", "dict", "shop.Ticker"),
    ),
    Case(
        "logger-per-object",
        "handler",
        "LoggerAdapter",
        _held("shop.loggers", "list", "logging.Logger"),
    ),
    Case(
        "logger-per-object",
        "handler",
        "LoggerAdapter",
        _held("logging.Logger.manager.loggerDict", "dict", "str"),
    ),
    Case(
        "logging-handler",
        "handler",
        "removeHandler",
        Clues(types=("logging.FileHandler", "_io.TextIOWrapper")),
    ),
    Case(
        "logging-handler",
        "handler",
        "removeHandler",
        _held("logging.root.filters", "list", "shop.audit.Filter"),
    ),
    Case(
        "unclosed-file",
        "unclosed-connection",
        "_io.FileIO",
        _held("shop.cache._open", "dict", "str", "_io.FileIO"),
    ),
    Case(
        "client-per-call",
        "unclosed-connection",
        "requests.sessions.Session",
        _held("shop.api._used", "list", "requests.sessions.Session"),
    ),
    Case(
        "unclosed-connection",
        "unclosed-connection",
        "sqlite3.Connection",
        _held("shop.db.cache", "dict", "str", "sqlite3.Connection"),
    ),
    Case(
        "unclosed-connection",
        "unclosed-connection",
        "shop.Order",
        _more(_STORE, files_per_call=1.0),
    ),
    Case(
        "suspended-generator",
        "registry",
        "close() them",
        _held("shop.searches", "list", "generator", types="generator frame"),
    ),
    Case(
        "kept-traceback",
        "traceback",
        "__traceback__",
        _held("shop.errors", "list", "ValueError", types="ValueError traceback frame"),
    ),
    Case(
        "class-per-call",
        "class",
        "once at import",
        _held("shop.forms.made_after_login", "dict", "str", "type"),
    ),
    Case(
        "module-per-call",
        "registry",
        "sys.modules",
        _held("sys.modules", "dict", "module", "str"),
    ),
    Case(
        "mock-calls",
        "registry",
        "reset_mock",
        _held("shop.mailer._calls", "list", "tuple", types="tuple unittest.mock._Call"),
    ),
    Case(
        "finalizer",
        "registry",
        "never self",
        _held("weakref.finalize._registry", "dict", "weakref.finalize._Info"),
    ),
    Case(
        "warning-registry",
        "registry",
        "out of the text",
        _held("shop.__warningregistry__", "dict", "tuple"),
    ),
    Case(
        "source-cache",
        "unbounded-cache",
        "checkcache",
        _held("linecache.cache", "dict", "tuple", "str"),
    ),
    Case(
        "pickler-memo",
        "unbounded-cache",
        "clear_memo",
        _held("shop.LOG._pickler", "list", way="_pickle.Pickler"),
    ),
    Case(
        "context-variable",
        "registry",
        "reset it by its token",
        _held("shop.overrides", "list", "_contextvars.Token"),
    ),
    Case(
        "exit-stack",
        "listener",
        "ExitStack",
        _held("shop.APP.stack._exit_callbacks", "collections.deque", "tuple"),
    ),
    Case("at-exit", "listener", "unregister", _held("atexit", "list", "tuple")),
    Case(
        "at-exit",
        "listener",
        "unregister",
        _more(
            _held("a callback of native code.data", "list", "int"),
            exit_callbacks_per_call=1.0,
        ),
    ),
    Case(
        "kept-session",
        "unbounded-cache",
        "for each unit of work",
        _held("s.DB._new", "dict", "shop.Order", way="sqlalchemy.orm.session.Session"),
    ),
    Case(
        "pending-task",
        "task",
        "greenlets",
        _held("shop.done→", "list", "method", way="gevent._gevent_cevent.Event"),
    ),
    Case(
        "registry",
        "registry",
        "shop.app.overrides",
        _held("shop.app.overrides", "dict", "function"),
    ),
    Case(
        "bound-method-listener",
        "listener",
        "WeakMethod",
        _held("shop.bus._q", "list", "method"),
    ),
    Case(
        "listener",
        "listener",
        "shop.bus.listeners",
        _held("shop.bus.listeners", "list", "shop.Adapter"),
    ),
    Case(
        "listener", "listener", "shop.bus._q", _held("shop.bus._q", "list", "function")
    ),
    Case(
        "class-per-call",
        "class",
        "once at import",
        _held("shop.forms", "dict", "dict", types="dict type"),
    ),
    Case(
        "queue-without-consumer",
        "registry",
        "maxsize",
        _held("shop.outbox.queue", "collections.deque", "dict", way="queue.Queue"),
    ),
    Case(
        "dead-weakrefs",
        "registry",
        "WeakSet",
        _held("shop.window.children", "list", "weakref.ReferenceType"),
    ),
    Case(
        "thread-local",
        "thread",
        "lives as long as its thread",
        _held("shop.toolbar.rows", "list", "str", way="_thread._local"),
    ),
    Case(
        "mutable-default",
        "unbounded-cache",
        "use None",
        _held("shop.price.__defaults__[…]", "dict", "float"),
    ),
    Case(
        "mutable-default",
        "registry",
        "use None",
        _held("shop.validate.__defaults__[…]", "list", "dict"),
    ),
    Case(
        "label-set",
        "unbounded-cache",
        "by what is finite",
        _held("shop.REQUESTS._metrics", "dict", "shop.Child"),
    ),
    Case(
        "label-set",
        "unbounded-cache",
        "by what is finite",
        _held("shop.REQUESTS._children", "dict", "shop.Child", way="shop.Counter"),
    ),
    Case(
        "dict-as-cache",
        "unbounded-cache",
        "shop.cache._store",
        _held("shop.cache._store", "shop.Store"),
    ),
    Case(
        "registry",
        "registry",
        "shop.registry._by_name",
        _held("shop.registry._by_name", "dict", "shop.Plugin"),
    ),
    Case("thread-without-end", "thread", "join", _more(_STORE, threads_per_call=1.0)),
    Case(
        "class-attribute",
        "unbounded-cache",
        "__init__",
        _held("shop.Basket.prices", "dict", "float", way="type"),
    ),
    Case(
        "class-attribute",
        "registry",
        "__init__",
        _held("shop.Basket.items", "list", "shop.Item", way="type"),
    ),
    Case(
        "cache-without-eviction",
        "unbounded-cache",
        "popitem",
        _held("shop.users.seen", "collections.OrderedDict", "str"),
    ),
    Case(
        "defaultdict-read",
        "unbounded-cache",
        "get()",
        _held("shop.buckets", "collections.defaultdict", "shop.Bucket"),
    ),
    Case("seen-set", "unbounded-cache", "ever seen", _held("shop.ids", "set", "str")),
    Case("dict-as-cache", "unbounded-cache", "bound it", _STORE),
    Case(
        "deque-without-maxlen",
        "registry",
        "maxlen",
        _held("shop.recent", "collections.deque", "float"),
    ),
    Case(
        "append-only",
        "registry",
        "maxlen",
        _held("shop.audit.entries", "list", "shop.Entry"),
    ),
    Case(
        "lagging-tee",
        "other",
        "advance both",
        _held("shop.audit", "itertools._tee"),
    ),
    Case(
        "lagging-tee",
        "other",
        "advance both",
        Clues(types=("itertools._tee_dataobject",)),
    ),
    Case(
        "growing-buffer",
        "other",
        "write it out",
        _held("shop.tape", "bytearray"),
    ),
    Case("growing-buffer", "other", "write it out", Clues(is_resized=True)),
    Case(
        "growing-chain",
        "other",
        "Each new shop.Node",
        Clues(types=("shop.Node",), holder_type="shop.Node", owner_path="shop.head"),
    ),
    Case("thread-without-end", "thread", "join", Clues(threads_per_call=0.02)),
)
OTHER = Case("other", "other", "its holder", Clues())


@pytest.mark.parametrize(
    "case", [*CASES, OTHER], ids=lambda case: f"{case.habit} {case.clues.owner_path}"
)
def test_a_habit_is_recognised_and_its_hint_says_what_to_change(case: Case) -> None:
    found = match_pattern(case.clues)
    assert (found.habit, found.pattern) == (case.habit, case.pattern)
    assert case.hint in found.hint


def test_every_pattern_of_the_report_can_be_found() -> None:
    assert {case.pattern for case in (*CASES, OTHER)} == set(get_args(Pattern))


def test_every_habit_can_be_found_and_shows_code_before_and_after() -> None:
    assert {case.habit for case in (*CASES, OTHER)} == set(patterns.HABITS)
    for case in CASES:
        example = match_pattern(case.clues).example
        assert example is not None
        marks = {line[:2] for line in example.splitlines()}
        assert "+ " in marks
        assert marks <= {"+ ", "- ", "  "}
        assert max(map(len, example.splitlines())) <= 72


def test_every_rule_decides_something() -> None:
    assert len(CASES) == len(patterns.RULES)
    for rule, case in zip(patterns.RULES, CASES, strict=True):
        assert (rule.habit, rule.pattern) == (case.habit, case.pattern)


@pytest.mark.parametrize("index", range(len(patterns.RULES)))
def test_no_rule_can_be_left_out(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = match_pattern(CASES[index].clues)
    rules = patterns.RULES[:index] + patterns.RULES[index + 1 :]
    monkeypatch.setattr(patterns, "RULES", rules)
    assert match_pattern(CASES[index].clues) != before


def test_the_example_speaks_of_the_holder_by_its_name() -> None:
    for path, name in (
        ("shop.cache._store", "_store"),
        ("shop.STORE.tenants['tenant6']", "tenants"),
        ("shop.rates.<results>", "results"),
        ("[…]", "kept"),
    ):
        example = match_pattern(_held(path, "dict", "str")).example
        assert example is not None
        assert example.startswith(f"- {name} = dict()")


@pytest.mark.parametrize(
    ("collector", "words"),
    [
        (Collector(enabled=False, thresholds=(700, 10, 10)), "off (gc.disable())"),
        (Collector(enabled=False, thresholds=(700, 10, 10)), "thresholds 700, 10, 10"),
        (Collector(thresholds=(0, 10, 10)), "its thresholds are 0, 10, 10"),
        (Collector(uncollectable=3), "with 3 objects in gc.garbage"),
        (Collector(), "does not run: turn"),
    ],
)
def test_a_cycle_says_why_it_is_not_collected(collector: Collector, words: str) -> None:
    assert words in match_pattern(Clues(is_cycle=True, collector=collector)).hint


def test_a_session_of_the_applications_is_no_connection() -> None:
    sessions = _held("shop.users.by_id", "dict", "shop.users.Session", "str")
    assert match_pattern(sessions).pattern == "unbounded-cache"
    with_files = _more(sessions, files_per_call=0.9)
    assert match_pattern(with_files).pattern == "unclosed-connection"


@pytest.mark.parametrize(
    ("kinds", "pattern"),
    [
        ("_asyncio.Task _asyncio.Future concurrent.futures._base.Future", "task"),
        ("coroutine", "task"),
        ("threading.Thread threading.Timer", "thread"),
        (
            "logging.StreamHandler logging.handlers.RotatingFileHandler logging.Logger",
            "handler",
        ),
        (
            """sqlite3.Connection sqlite3.Cursor psycopg2.extensions.connection
            socket.socket ssl.SSLSocket _io.TextIOWrapper _io.FileIO mmap.mmap
            _io.BufferedReader subprocess.Popen requests.sessions.Session
            aiohttp.client.ClientSession httpx.Client urllib3.HTTPConnectionPool
            sqlalchemy.engine.base.Engine grpc._channel.Channel
            tempfile._TemporaryFileWrapper multiprocessing.pool.Pool""",
            "unclosed-connection",
        ),
        ("traceback frame", "traceback"),
        ("type", "class"),
    ],
)
def test_types_are_known_by_their_names(kinds: str, pattern: str) -> None:
    for kind in kinds.split():
        loose = Clues(types=(kind, "dict"))
        held = Clues(types=("str", kind, "dict"), entry_types=("str", kind))
        assert match_pattern(loose)[0] == pattern, kind
        assert match_pattern(held)[0] == pattern, kind


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("shop.bus.Bus._subscribers", "listener"),
        ("blinker.Signal.receivers", "listener"),
        ("shop.app.before_request_funcs", "listener"),
        ("shop.app.teardown_funcs", "listener"),
        ("shop.events.on_order", "listener"),
        ("shop.model._observers", "listener"),
        ("shop.callbacks", "listener"),
        ("shop.templates._memo", "unbounded-cache"),
        ("shop.PriceCache.values", "unbounded-cache"),
        ("logging.Logger.manager.loggerDict", "handler"),
        ("threading._dangling", "thread"),
    ],
)
def test_holders_are_known_by_their_names(path: str, pattern: str) -> None:
    assert match_pattern(Clues(owner_path=path))[0] == pattern


@pytest.mark.parametrize(
    "path",
    [
        "shop.session_cache",
        "shop.json_memo",
        "shop.translation_cache",
        "shop.connection_cache",
        "shop.version_by_user",
    ],
)
def test_a_cache_of_sessions_is_no_listener(path: str) -> None:
    clues = Clues(types=("str",), holder_type="dict", owner_path=path)
    assert match_pattern(clues)[0] == "unbounded-cache"


@pytest.mark.parametrize(
    ("holder", "pattern"),
    [
        ("dict", "unbounded-cache"),
        ("collections.defaultdict", "unbounded-cache"),
        ("collections.Counter", "unbounded-cache"),
        ("set", "unbounded-cache"),
        ("functools._lru_cache_wrapper", "unbounded-cache"),
        ("cachetools.LRUCache", "unbounded-cache"),
        ("list", "registry"),
        ("collections.deque", "registry"),
        ("weakref.WeakSet", "registry"),
        ("tuple", "other"),
        (None, "other"),
    ],
)
def test_plain_holders_are_known_by_their_type(
    holder: str | None, pattern: str
) -> None:
    clues = Clues(types=("str",), holder_type=holder, owner_path="shop.things")
    assert match_pattern(clues)[0] == pattern


@pytest.mark.parametrize(
    ("module", "rest", "holder", "pattern"),
    [
        ("shop.handlers", "RESULTS", "dict", "unbounded-cache"),
        ("shop.handlers", "_results", "dict", "unbounded-cache"),
        ("signals", "AUDIT.lines", "list", "registry"),
        ("memory_store", "STORE.rows", "list", "registry"),
        ("plugin_search", "INDEX.seen", "set", "unbounded-cache"),
        ("app", "APP.price_watcher.history", "list", "registry"),
        ("app", "log.handlers[…].records", "list", "registry"),
        ("app", "BUS.listeners.data", "dict", "listener"),
        ("app", "BUS.hooks._by_name['order']", "list", "listener"),
        ("app", "make_bus.<listeners>", "list", "listener"),
    ],
)
def test_the_holders_own_name_counts_and_not_its_modules(
    module: str, rest: str, holder: str, pattern: str
) -> None:
    path = f"{module}.{rest}"
    clues = Clues(types=("str",), holder_type=holder, owner_path=path, module=module)
    assert match_pattern(clues).pattern == pattern


def test_the_specific_stands_above_the_general() -> None:
    cached = Clues(entry_types=("sqlite3.Connection",), owner_path="shop.cache")
    assert match_pattern(cached)[0] == "unclosed-connection"
    hooked = Clues(entry_types=("_asyncio.Task",), owner_path="shop.bus.callbacks")
    assert match_pattern(hooked)[0] == "task"


def test_what_the_holder_holds_counts_not_what_hangs_below_it() -> None:
    # Each order has a lock and a future of its own: the orders are what is kept.
    clues = Clues(
        types=("shop.Order", "_asyncio.Future", "dict"),
        entry_types=("shop.Order",),
        holder_type="dict",
        owner_path="shop.orders",
    )
    assert match_pattern(clues)[0] == "unbounded-cache"


def test_garbage_that_waits_for_the_collector_is_a_cycle_whatever_it_is() -> None:
    clues = Clues(types=("_asyncio.Task",), owner_path="shop.cache", is_cycle=True)
    assert match_pattern(clues)[0] == "cycle"


def test_the_most_frequent_of_several_connections_is_named() -> None:
    clues = Clues(entry_types=("int", "sqlite3.Cursor", "sqlite3.Connection"))
    assert match_pattern(clues).hint.startswith("sqlite3.Cursor ")


KINDS = st.sampled_from(
    [kind for case in CASES for kind in case.clues.main_types]
    + ["dict", "shop.Order", "function", "weakref.WeakMethod", "it's {odd}"]
)
PATHS = st.sampled_from(
    [case.clues.owner_path for case in CASES] + ["shop.orders[...]", None]
)
HOLDERS = st.sampled_from(["dict", "list", "shop.Order", None])


@quick
@given(
    types=st.lists(KINDS, max_size=4).map(tuple),
    entries=st.lists(KINDS, max_size=2).map(tuple),
    holder=HOLDERS,
    path=PATHS,
    is_cycle=st.booleans(),
    is_lru=st.booleans(),
)
def test_every_hint_is_one_or_two_whole_sentences(  # noqa: PLR0913 - all the clues
    types: tuple[str, ...],
    entries: tuple[str, ...],
    holder: str | None,
    path: str | None,
    *,
    is_cycle: bool,
    is_lru: bool,
) -> None:
    clues = Clues(
        types=types,
        entry_types=entries,
        holder_type=holder,
        owner_path=path,
        is_cycle=is_cycle,
        is_unbounded_lru=is_lru,
    )
    pattern, _, hint, example = match_pattern(clues)
    assert "{" not in (example or "").replace("{number}", "")
    assert pattern in get_args(Pattern)
    assert "{owner}" not in hint
    assert "{kind}" not in hint
    assert hint.endswith(".")
    assert 40 < len(hint) < 320
