"""The table of habits: each leak gets its name and a hint that mends it."""

from __future__ import annotations

from typing import NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core import patterns
from leakguard._core.patterns import Clues, match_pattern
from leakguard._core.records import Pattern
from tests.core.builders import quick


class Case(NamedTuple):
    """Evidence as a real program gives it, its pattern, and a word of the hint."""

    clues: Clues
    pattern: Pattern
    hint: str


#: For each rule evidence that it alone decides, in the order of the table.
CASES = {
    "a method under lru_cache": Case(
        Clues(
            types=("_asyncio.Task",),
            holder_type="functools._lru_cache_wrapper",
            owner_path="shop.prices.Quote.total",
            is_unbounded_lru=True,
        ),
        "unbounded-cache",
        "maxsize",
    ),
    "tasks never awaited": Case(
        Clues(entry_types=("_asyncio.Task",), owner_path="shop.jobs._running"),
        "task",
        "shop.jobs._running",
    ),
    "threads never joined": Case(
        Clues(types=("threading.Thread", "threading.Event")), "thread", "join"
    ),
    "timers in the table of threads": Case(
        Clues(entry_types=("shop.Ticker",), owner_path="threading._active"),
        "thread",
        "join",
    ),
    "a log file per request": Case(
        Clues(types=("logging.FileHandler", "_io.TextIOWrapper")),
        "handler",
        "removeHandler",
    ),
    "a filter per request": Case(
        Clues(entry_types=("shop.audit.Filter",), owner_path="logging.root.filters"),
        "handler",
        "removeHandler",
    ),
    "connections never closed": Case(
        Clues(
            entry_types=("str", "sqlite3.Connection"),
            holder_type="dict",
            owner_path="shop.db.cache",
        ),
        "unclosed-connection",
        "sqlite3.Connection",
    ),
    "exceptions kept": Case(
        Clues(
            types=("ValueError", "traceback", "frame"),
            entry_types=("ValueError",),
            holder_type="list",
            owner_path="shop.errors",
        ),
        "traceback",
        "__traceback__",
    ),
    "a class per form": Case(
        Clues(
            entry_types=("str", "type"),
            holder_type="dict",
            owner_path="shop.forms.made_after_login",
        ),
        "class",
        "once at import",
    ),
    "listeners by the name": Case(
        Clues(
            entry_types=("shop.Adapter",),
            holder_type="list",
            owner_path="shop.bus.listeners",
        ),
        "listener",
        "shop.bus.listeners",
    ),
    "listeners by the entries": Case(
        Clues(entry_types=("function",), holder_type="list", owner_path="shop.bus._q"),
        "listener",
        "shop.bus._q",
    ),
    "classes below what is held": Case(
        Clues(types=("dict", "type"), entry_types=("dict",), owner_path="shop.forms"),
        "class",
        "once at import",
    ),
    "a cache by the name": Case(
        Clues(holder_type="shop.Store", owner_path="shop.cache._store"),
        "unbounded-cache",
        "shop.cache._store",
    ),
    "a registry by the name": Case(
        Clues(
            entry_types=("shop.Plugin",),
            holder_type="dict",
            owner_path="shop.registry._by_name",
        ),
        "registry",
        "shop.registry._by_name",
    ),
    "a dict of all that was": Case(
        Clues(holder_type="collections.OrderedDict", owner_path="shop.users.seen"),
        "unbounded-cache",
        "shop.users.seen",
    ),
    "a list that is only added to": Case(
        Clues(holder_type="list", owner_path="shop.audit.entries"),
        "registry",
        "maxlen",
    ),
}
OTHER_CASES = {
    "native memory": Case(Clues(is_native=True), "native", "C extension"),
    "cycles without a collector": Case(Clues(is_cycle=True), "cycle", "gc.enable()"),
    "nothing known": Case(Clues(), "other", "its holder"),
    "a linked list": Case(
        Clues(types=("shop.Node",), holder_type="shop.Node", owner_path="shop.head"),
        "other",
        "shop.head",
    ),
}
ALL_CASES = CASES | OTHER_CASES


@pytest.mark.parametrize("name", ALL_CASES)
def test_a_habit_is_recognised_and_its_hint_says_what_to_change(name: str) -> None:
    case = ALL_CASES[name]
    pattern, hint = match_pattern(case.clues)
    assert pattern == case.pattern
    assert case.hint in hint


def test_every_pattern_of_the_report_can_be_found() -> None:
    assert {case.pattern for case in ALL_CASES.values()} == set(get_args(Pattern))


@pytest.mark.parametrize("index", range(len(patterns.RULES)))
def test_every_rule_decides_something(
    index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [match_pattern(case.clues) for case in ALL_CASES.values()]
    rules = patterns.RULES[:index] + patterns.RULES[index + 1 :]
    monkeypatch.setattr(patterns, "RULES", rules)
    assert [match_pattern(case.clues) for case in ALL_CASES.values()] != before


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
    assert match_pattern(clues)[1].startswith("sqlite3.Cursor ")


KINDS = st.sampled_from(
    [kind for case in CASES.values() for kind in case.clues.main_types]
    + ["dict", "shop.Order", "function", "weakref.WeakMethod", "it's {odd}"]
)
PATHS = st.sampled_from(
    [case.clues.owner_path for case in CASES.values()] + ["shop.orders[...]", None]
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
    pattern, hint = match_pattern(clues)
    assert pattern in get_args(Pattern)
    assert "{owner}" not in hint
    assert "{kind}" not in hint
    assert hint.endswith(".")
    assert 40 < len(hint) < 320
