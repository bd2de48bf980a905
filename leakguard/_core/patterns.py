"""Which habit a leak is, and what to change: decisions as tables.

A rule matches words in the evidence: the type that piles up, the holder's type, the
names on its path. The first rule that matches wins, so the specific stand above the
general. Every hint is one or two sentences that say what to change; ``{owner}`` is
the holder's path and ``{kind}`` the type that piles up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leakguard._core.records import Pattern


@dataclass(frozen=True, slots=True)
class Clues:
    """What is known about a leak's shape; names only.

    ``types`` are the types that pile up (most frequent first), ``entry_types`` those
    held directly by the growing holder, ``is_cycle`` says that only a collection
    frees them.
    """

    types: tuple[str, ...] = ()
    entry_types: tuple[str, ...] = ()
    holder_type: str | None = None
    owner_path: str | None = None
    function: str | None = None
    is_cycle: bool = False
    is_unbounded_lru: bool = False
    is_native: bool = False

    @property
    def main_types(self) -> tuple[str, ...]:
        """What the holder holds; without a holder, what piles up most."""
        return self.entry_types or self.types[:1]


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, where its words are looked for, and the hint that mends it."""

    pattern: Pattern
    clue: str
    words: re.Pattern[str]
    hint: str


def _words(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.IGNORECASE)


_CONNECTION = (
    r"(?:\b|\.)(?:\w*(?:Connection|Cursor|Session|Socket|Engine|Client|Channel|Pool"
    r"|Transport|Popen)|socket|SSLSocket|TextIOWrapper|FileIO|mmap"
    r"|Buffered(?:Reader|Writer|Random)|NamedTemporaryFile|_TemporaryFileWrapper)\Z"
)
_LISTENING = (
    r"listener|handler|observer|callback|subscriber|receiver|hook|signal|watcher"
    r"|(?<![a-z])(?:slots?\b|on_\w|before_\w|after_\w)|_events?\b|teardown"
)
_CALLABLE = (
    r"\A(?:function|method|functools\.partial|builtin_function_or_method"
    r"|weakref\.WeakMethod|functools\.partialmethod)\Z"
)

_CYCLE_HINT = (
    "Reference cycles pile up because the cyclic collector does not run: turn it on "
    "(gc.enable()), call gc.collect() at a quiet moment, or break the cycle (a weakref "
    "for the back reference)."
)
_TASK_HINT = (
    "Tasks or futures are created and never finish: await or cancel them (a TaskGroup "
    "or asyncio.timeout), and drop them from {owner} when done "
    "(task.add_done_callback(tasks.discard))."
)
_THREAD_HINT = (
    "Threads are started and never end: join them, stop them by an Event, or use one "
    "ThreadPoolExecutor for all calls and shut it down."
)
_HANDLER_HINT = (
    "A logging handler, filter or logger is added on every call: configure logging "
    "once at start, or call removeHandler() and close() when done."
)
_CONNECTION_HINT = (
    "{kind} objects are opened and never closed: use `with` (contextlib.closing) or "
    "try/finally to close them or give them back to the pool."
)
_TRACEBACK_HINT = (
    "Exceptions are kept with their tracebacks, and those keep every frame's locals: "
    "keep str(error) or traceback.format_exc(), or clear error.__traceback__."
)
_CLASS_HINT = (
    "A class is made on every call and something keeps it: create it once at import, "
    "or cache it by its parameters with a bound."
)
_LRU_HINT = (
    "lru_cache(maxsize=None) (or functools.cache) never evicts: give it a maxsize. On "
    "a method it keeps every self alive: cache on the instance (cached_property) or a "
    "module function of the values."
)
_LISTENER_HINT = (
    "Listeners are registered again and again and never removed from {owner}: "
    "register once, use once(), or remove the listener in a finally block."
)
_CACHE_HINT = (
    "{owner} gets new keys all the time and never drops one: bound it "
    "(functools.lru_cache(maxsize=…), cachetools.LRUCache or TTLCache) or delete the "
    "entry when its work is done."
)
_REGISTRY_HINT = (
    "{owner} is only ever added to: remove entries when their work is done, or use "
    "collections.deque(maxlen=…) if only the newest matter."
)
_OTHER_HINT = (
    "What is allocated here is still alive after the work is done: find what keeps it "
    "({owner}) and let it go."
)
_NATIVE_HINT = (
    "Memory is allocated outside Python and not given back: look for a C extension "
    "object without close()/free(), or a ctypes allocation."
)

_TASK = r"(?:asyncio|concurrent)[\w.]*\.(?:Task|Future)\Z|\Acoroutine\Z"
_THREAD = r"\Athreading\.(?:Thread|Timer)\Z"
_LOGGING = r"logging\..*(?:Handler|Logger)\Z"
_REGISTRY = r"registry|registered|plugin"
_HOLDING_KEYS = r"dict\Z|mapping\Z|\Aset\Z|cache\Z|_lru_cache_wrapper|Counter\Z"

RULES: tuple[Rule, ...] = (
    Rule("unbounded-cache", "is_unbounded_lru", _words("True"), _LRU_HINT),
    Rule("task", "main_types", _words(_TASK), _TASK_HINT),
    Rule("thread", "main_types", _words(_THREAD), _THREAD_HINT),
    Rule("thread", "owner_path", _words(r"\Athreading\._"), _THREAD_HINT),
    Rule("handler", "main_types", _words(_LOGGING), _HANDLER_HINT),
    Rule("handler", "owner_path", _words(r"\Alogging\.|\bloggerDict"), _HANDLER_HINT),
    Rule("unclosed-connection", "main_types", _words(_CONNECTION), _CONNECTION_HINT),
    Rule("traceback", "types", _words(r"\A(?:traceback|frame)\Z"), _TRACEBACK_HINT),
    Rule("class", "main_types", _words(r"\Atype\Z"), _CLASS_HINT),
    Rule("listener", "owner_path", _words(_LISTENING), _LISTENER_HINT),
    Rule("listener", "entry_types", _words(_CALLABLE), _LISTENER_HINT),
    Rule("class", "types", _words(r"\Atype\Z"), _CLASS_HINT),
    Rule("unbounded-cache", "owner_path", _words("cache|memo"), _CACHE_HINT),
    Rule("registry", "owner_path", _words(_REGISTRY), _REGISTRY_HINT),
    Rule("unbounded-cache", "holder_type", _words(_HOLDING_KEYS), _CACHE_HINT),
    Rule("registry", "holder_type", _words(r"list\Z|deque\Z|set\Z"), _REGISTRY_HINT),
)


def match_pattern(clues: Clues) -> tuple[Pattern, str]:
    """Return the pattern that fits the clues, and its hint filled in."""
    if clues.is_native:
        return "native", _NATIVE_HINT
    if clues.is_cycle:
        return "cycle", _CYCLE_HINT
    for rule in RULES:
        word = _first_match(rule, clues)
        if word is not None:
            return rule.pattern, _fill(rule.hint, clues, word)
    return "other", _fill(_OTHER_HINT, clues, None)


def _first_match(rule: Rule, clues: Clues) -> str | None:
    found = getattr(clues, rule.clue)
    candidates = found if isinstance(found, tuple) else (str(found),)
    for candidate in candidates:
        if candidate != "None" and rule.words.search(candidate):
            return str(candidate)
    return None


def _fill(hint: str, clues: Clues, word: str | None) -> str:
    owner = clues.owner_path or "its holder"
    kind = word or (clues.types[0] if clues.types else "object")
    return hint.format(owner=owner, kind=kind)
