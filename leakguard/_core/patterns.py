"""Which habit a leak is, and what to change: decisions as a table.

A rule matches words in the evidence: the type that piles up, the holder's type, the
names on its path, what grows beside the memory. The first rule whose words are all
found wins, so the specific stand above the general. A habit belongs to a pattern, which
is the vocabulary of the document, and has a hint and an example of code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from leakguard._core.habits import HOLDER_HABITS, Habit
from leakguard._core.habits_of_resources import RESOURCE_HABITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._core.records import Pattern

#: All habits by name.
HABITS: Mapping[str, Habit] = {**HOLDER_HABITS, **RESOURCE_HABITS}
#: New descriptors or threads for each unit of work from which they are the leak; and
#: threads where nothing else is known.
_RESOURCES_PER_CALL, _LEAST_THREADS_PER_CALL = 0.2, 0.01


@dataclass(frozen=True, slots=True)
class Collector:
    """How the cyclic collector is set, and what it could not free."""

    enabled: bool = True
    thresholds: tuple[int, ...] = ()
    uncollectable: int = 0


#: Where it was not looked at.
COLLECTOR = Collector()
#: How a path begins that no name leads to.
_UNSEEN = "a callback of native code"
#: The last name on a path, and the one before where that holds it directly.
_PLACE = re.compile(r"(?:\.(\w+)\.)?<?(\w+)>?(?:\[[^\]]*\]|\{…\}|→)*\Z")
#: Names that say nothing of what they hold; so do private ones.
_PLAIN_NAME = re.compile(r"_|(?:data|items|queue|values|entries|store|list|set)\Z")


@dataclass(frozen=True, slots=True)
class Clues:
    """What is known about a leak's shape; names and numbers only.

    ``types`` are the types that pile up (most frequent first), ``entry_types`` those
    held directly by the growing holder, ``owner_types`` those on the way to it, root
    first; ``module`` is the root's name, if that is a module. ``function`` is the C
    function that takes memory, ``finalized`` the types that piled up with a
    ``__del__``. ``is_cycle`` says that only a collection frees them, ``is_resized``
    that blocks grow in size and not in number. Files, threads and what is registered
    with ``atexit`` are the process's, for each unit of work.
    """

    types: tuple[str, ...] = ()
    entry_types: tuple[str, ...] = ()
    holder_type: str | None = None
    owner_path: str | None = None
    module: str = ""
    owner_types: tuple[str, ...] = ()
    function: str | None = None
    finalized: tuple[str, ...] = ()
    files_per_call: float = 0.0
    threads_per_call: float = 0.0
    exit_callbacks_per_call: float = 0.0
    collector: Collector = COLLECTOR
    is_cycle: bool = False
    is_resized: bool = False
    is_unbounded_lru: bool = False
    is_native: bool = False

    @property
    def main_types(self) -> tuple[str, ...]:
        """What the holder holds; without a holder, what piles up most."""
        return self.entry_types or self.types[:1]

    @property
    def place(self) -> str | None:
        """The name of what holds it, such as ``listeners`` or ``cache._data``.

        A module's name says where a thing is, and not what it is for.
        """
        found = _PLACE.search((self.owner_path or "").removeprefix(self.module))
        if found is None:
            return None
        before, name = found.groups()
        is_plain = before and _PLAIN_NAME.match(name)
        return f"{before}.{name}" if is_plain else str(name)

    @property
    def parent_type(self) -> str | None:
        """The type of what holds the holder."""
        return self.owner_types[-2] if len(self.owner_types) > 1 else None

    @property
    def resource(self) -> str | None:
        """What the process has more and more of, beside memory."""
        if self.files_per_call >= _RESOURCES_PER_CALL:
            return "file"
        return "thread" if self.threads_per_call >= _RESOURCES_PER_CALL else None

    @property
    def is_kept_for_exit(self) -> bool:
        """Whether it may be held by ``atexit``, which the collector does not see."""
        unseen = (self.owner_path or _UNSEEN).startswith(_UNSEEN)
        return unseen and self.exit_callbacks_per_call >= _RESOURCES_PER_CALL

    @property
    def gains_threads(self) -> bool:
        """Whether threads are the only thing known to grow, if slowly."""
        return self.threads_per_call >= _LEAST_THREADS_PER_CALL

    @property
    def shape(self) -> str | None:
        """How it grows: in one ``block``, or in a ``chain`` of its own kind."""
        if self.is_resized and not self.types:
            return "block"
        is_chain = self.holder_type in self.types and not self.entry_types
        return "chain" if is_chain else None


@dataclass(frozen=True, slots=True)
class Rule:
    """A habit, and the words that all have to be found for it.

    ``words`` are pairs of a clue and an expression; the first match of the first pair
    is the type, or the path, that the hint names.
    """

    habit: str
    pattern: Pattern
    words: tuple[tuple[str, re.Pattern[str]], ...]


class Match(NamedTuple):
    """What a leak was recognised as."""

    pattern: Pattern
    habit: str
    hint: str
    example: str | None


def _rule(habit: str, pattern: Pattern | None = None, **words: str) -> Rule:
    found = ((clue, re.compile(text, re.IGNORECASE)) for clue, text in words.items())
    return Rule(habit, pattern or HABITS[habit].pattern, tuple(found))


_FILE = (
    r"(?:\b|\.)(?:TextIOWrapper|FileIO|mmap|Buffered(?:Reader|Writer|Random|RWPair)"
    r"|NamedTemporaryFile|_TemporaryFileWrapper|SpooledTemporaryFile|ZipFile|TarFile)\Z"
)
#: Their makers' packages: elsewhere a session, a client or a channel is anybody's.
_CLIENT = (
    r"\A(?:requests|httpx|aiohttp|aiobotocore|boto3|botocore|urllib3|openai|anthropic"
    r"|google|azure|stripe|slack_sdk|elasticsearch|opensearchpy)\b.*"
    r"(?:Session|Client|PoolManager|OpenAI|Anthropic)\Z|\A_?ssl\._?SSLContext\Z"
)
_CONNECTION = (
    r"(?:\b|\.)(?:\w*(?:Connection|Cursor|Socket|Popen)|socket|SSLSocket"
    r"|\w*(?:HTTP|Connection|Db)Pool|\w*Database)\Z"
    r"|\A(?:sqlalchemy|psycopg\w*|asyncpg|aiomysql|aiopg|pymysql|MySQLdb|mysql|oracledb"
    r"|redis|pymongo|motor|cassandra|kafka|aiokafka|pika|aio_pika|amqp|kombu|paramiko"
    r"|asyncssh|grpc|websockets?|ldap3|pymemcache|multiprocessing|asyncio|uvloop|zmq"
    r"|ftplib|smtplib|imaplib|peewee|sqlmodel|neo4j|hdbcli|pyodbc)\b.*"
    r"(?:Session|Client|Engine|Channel|Pool|Transport|Redis|Producer|Consumer|Driver"
    r"|FTP|SMTP|IMAP4\w*|Context)\Z"
)
_LISTENING = (
    r"listener|handler|observer|callback|subscriber|receiver|hook|signal|watcher"
    r"|(?<![a-z])(?:slots?\b|on_\w|before_\w|after_\w)|_events?\b|teardown"
)
_CALLABLE = (
    r"\A(?:function|method|functools\.partial|builtin_function_or_method"
    r"|weakref\.WeakMethod|functools\.partialmethod)\Z"
)
_METHOD = r"\Amethod\Z"
_CLASS = r"\A(?:type|abc\.ABCMeta|enum\.EnumType|\S*Meta(?:class)?|\S*ModelBase)\Z"
_TASK = (
    r"(?:asyncio|concurrent)[\w.]*\.Task\Z|\Acoroutine\Z"
    r"|\A(?:gevent|greenlet|eventlet)\b.*\.[gG]reen(?:let|[tT]hread)\Z"
)
_GREEN = r"\A(?:gevent|eventlet)\..*(?:\.Event|Semaphore|Lock|Group|Pool)\Z"
_FUTURE = r"(?:asyncio|concurrent)[\w.]*\.Future\Z"
_LOCAL = r"\A(?:_thread\._local|threading\.local)\Z"
_QUEUE = r"\A_?(?:queue|asyncio\.queues|multiprocessing\.queues)\.\w*Queue\Z"
_CONTEXT = r"\A(?:_contextvars\.(?!ContextVar\Z)\w+|hamt\w*)\Z"
_LIST, _SET, _DEQUE = r"\A(?:\w+\.)?\w*list\Z", r"set\Z", r"deque\Z"
_KEYED = r"dict\Z|mapping\Z|\Aset\Z|cache\Z|_lru_cache_wrapper|Counter\Z"
_BUFFER = r"\A(?:bytearray|array\.array|_io\.(?:BytesIO|StringIO))\Z"

_THREAD = r"\Athreading\.(?:Thread|Timer)\Z"
_ALL_TASKS = r"\b_(?:all|scheduled|eager)_tasks\b"
_WEAK = r"\Aweakref\.\w*Ref"
_DEFAULT, _LABEL = r"\.__(?:kw)?defaults__", r"label|metric"
_METRIC = r"\.(?:\w*Metrics?|Counter|Gauge|Histogram|Summary)\Z"
RULES: tuple[Rule, ...] = (
    _rule("thread-without-end", is_native="True", gains_threads="True"),
    _rule("native-call", function=".", is_native="True"),
    _rule("native", is_native="True"),
    _rule("cycle-with-finalizer", finalized=".", is_cycle="True"),
    _rule("cycle-without-collector", is_cycle="True"),
    _rule("saved-garbage", owner_path=r"\Agc\.garbage\b"),
    _rule("lru-cache-on-method", is_unbounded_lru="True", parent_type=_CLASS),
    _rule("lru-cache-without-bound", is_unbounded_lru="True"),
    _rule("pending-task", main_types=_TASK),
    _rule("pending-task", owner_path=_ALL_TASKS),
    _rule("kept-future", main_types=_FUTURE),
    _rule("cancelled-timer", types=r"\Aasyncio\.events\.TimerHandle\Z"),
    _rule("thread-without-end", main_types=_THREAD),
    _rule("thread-without-end", owner_path=r"\Athreading\._"),
    _rule("logger-per-object", main_types=r"\Alogging\.Logger\Z"),
    _rule("logger-per-object", owner_path=r"\bloggerDict"),
    _rule("logging-handler", main_types=r"logging\..*(?:Handler|Logger)\Z"),
    _rule("logging-handler", owner_path=r"\Alogging\."),
    _rule("unclosed-file", main_types=_FILE),
    _rule("client-per-call", main_types=_CLIENT),
    _rule("unclosed-connection", main_types=_CONNECTION),
    _rule("unclosed-connection", main_types=".", resource="file"),
    _rule("suspended-generator", main_types=r"\A(?:async_)?generator\Z"),
    _rule("kept-traceback", types=r"\A(?:traceback|frame)\Z"),
    _rule("class-per-call", main_types=r"\Atype\Z"),
    _rule("module-per-call", main_types=r"\Amodule\Z"),
    _rule("mock-calls", types=r"\Aunittest\.mock\."),
    _rule("finalizer", owner_path=r"\Aweakref\.finalize\b"),
    _rule("warning-registry", owner_path="__warningregistry__"),
    _rule("source-cache", owner_path=r"\Alinecache\.cache"),
    _rule("pickler-memo", owner_types=r"pickle\.\w*Pickler\Z"),
    _rule("context-variable", main_types=_CONTEXT),
    _rule("exit-stack", owner_path=r"_exit_callbacks\b"),
    _rule("at-exit", owner_path=r"\Aatexit\b"),
    _rule("at-exit", is_kept_for_exit="True"),
    _rule("kept-session", owner_types=r"\Asqlalchemy\..*[sS]ession\Z"),
    _rule("pending-task", owner_types=_GREEN),
    _rule("registry", place="overrid"),
    _rule("bound-method-listener", entry_types=_METHOD),
    _rule("listener", place=_LISTENING),
    _rule("listener", entry_types=_CALLABLE),
    _rule("class-per-call", types=r"\Atype\Z"),
    _rule("queue-without-consumer", parent_type=_QUEUE),
    _rule("dead-weakrefs", main_types=_WEAK),
    _rule("thread-local", owner_types=_LOCAL),
    _rule(
        "mutable-default", "unbounded-cache", owner_path=_DEFAULT, holder_type=_KEYED
    ),
    _rule("mutable-default", owner_path=_DEFAULT),
    _rule("label-set", place=_LABEL, holder_type=_KEYED),
    _rule("label-set", parent_type=_METRIC, holder_type=_KEYED),
    _rule("dict-as-cache", place="cache|memo(?!r)"),
    _rule("registry", place="registry|registered|plugin"),
    _rule("thread-without-end", main_types=".", resource="thread"),
    _rule("class-attribute", "unbounded-cache", parent_type=_CLASS, holder_type=_KEYED),
    _rule("class-attribute", parent_type=_CLASS, holder_type=_LIST),
    _rule("cache-without-eviction", holder_type=r"OrderedDict\Z"),
    _rule("defaultdict-read", holder_type=r"defaultdict\Z"),
    _rule("seen-set", holder_type=r"\Aset\Z"),
    _rule("dict-as-cache", holder_type=_KEYED),
    _rule("deque-without-maxlen", holder_type=_DEQUE),
    _rule("append-only", holder_type=rf"list\Z|{_SET}"),
    _rule("lagging-tee", holder_type=r"\Aitertools\._?tee"),
    _rule("lagging-tee", types=r"\Aitertools\._?tee"),
    _rule("growing-buffer", holder_type=_BUFFER),
    _rule("growing-buffer", shape="block"),
    _rule("growing-chain", types=".", shape="chain"),
    _rule("thread-without-end", gains_threads="True"),
)


def match_pattern(clues: Clues) -> Match:
    """Return what fits the clues best, its hint and its example filled in."""
    for rule in RULES:
        word = _found(rule, clues)
        if word is not None:
            return _match(rule.pattern, rule.habit, clues, word)
    return _match("other", "other", clues, None)


def _found(rule: Rule, clues: Clues) -> str | None:
    """Return the first word found, if all of the rule's are."""
    words = [_first_match(clue, words, clues) for clue, words in rule.words]
    return None if None in words else words[0]


def _first_match(clue: str, words: re.Pattern[str], clues: Clues) -> str | None:
    found = getattr(clues, clue)
    candidates = found if isinstance(found, tuple) else (str(found),)
    for candidate in candidates:
        if candidate != "None" and words.search(candidate):
            return str(candidate)
    return None


def _match(pattern: Pattern, habit: str, clues: Clues, word: str | None) -> Match:
    owner = clues.owner_path or "its holder"
    names = re.findall(r"[^\W\d]\w*", re.sub(r"\[[^\]]*\]|[<>]", "", owner))
    fills = {
        "owner": owner,
        "name": names[-1] if names and clues.owner_path else "kept",
        "kind": word or (clues.types[0] if clues.types else "object"),
        "gc": _collector_trouble(clues.collector),
    }
    _, hint, example = HABITS[habit]
    return Match(pattern, habit, hint.format(**fills), example.format(**fills) or None)


def _collector_trouble(collector: Collector) -> str:
    """Return why cycles are not collected, as the end of a sentence."""
    thresholds = ", ".join(map(str, collector.thresholds)) or "not known"
    trouble = "the cyclic collector does not run"
    if not collector.enabled:
        trouble += f": it is off (gc.disable()), thresholds {thresholds}"
    elif collector.thresholds[:1] == (0,):
        trouble += f" by itself: its thresholds are {thresholds}, and 0 means never"
    if collector.uncollectable:
        trouble += f", with {collector.uncollectable} objects in gc.garbage"
    return trouble
