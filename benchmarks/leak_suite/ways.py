"""Twenty ways to leak and twenty to look like it: factories of the bodies of tests.

Each factory takes the size of what one call handles, and returns one body with a
state of its own. The generated suites have a copy of this file beside them.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import contextvars
import functools
import io
import itertools
import json
import logging
import queue
import re
import sqlite3
import string
import tempfile
import threading
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Body = Callable[[], object]

#: Bytes of an empty ``bytes`` object, with its terminator.
_BYTES_OVERHEAD = 33


def payload(size: int) -> bytes:
    """Return an object of so many bytes in all."""
    return bytes(max(0, size - _BYTES_OVERHEAD))


class Holder:
    """An object with a payload, a link, and room for listeners."""

    def __init__(self, size: int, link: object = None) -> None:
        """Make the payload."""
        self.data, self.link = payload(size), link


# --- leaks ---------------------------------------------------------------------------


def leak_list(size: int) -> Body:
    """Append to a list."""
    kept: list[bytes] = []
    return lambda: kept.append(payload(size))


def leak_dict(size: int) -> Body:
    """Cache under keys that never come back."""
    cache: dict[int, bytes] = {}
    numbers = itertools.count()
    return lambda: cache.__setitem__(next(numbers), payload(size))


def leak_set(size: int) -> Body:
    """Remember everything seen."""
    seen: set[bytes] = set()
    numbers = itertools.count()
    return lambda: seen.add(b"%032d" % next(numbers) + payload(size))


def leak_class_attribute(size: int) -> Body:
    """Collect in an attribute of a class."""

    class Registry:
        entries: list[bytes] = []  # noqa: RUF012 - the leak on show

        def add(self) -> None:
            self.entries.append(payload(size))

    return lambda: Registry().add()


def leak_chain(size: int) -> Body:
    """Link each object to the one before."""
    head: list[object] = [None]

    def push() -> None:
        head[0] = Holder(size, head[0])

    return push


def leak_listeners(size: int) -> Body:
    """Register a listener in each call."""
    listeners: list[Callable[[], bytes]] = []

    def subscribe() -> None:
        data = payload(size)
        listeners.append(lambda: data)

    return subscribe


def leak_lru_cache(size: int) -> Body:
    """Cache without a bound."""
    numbers = itertools.count()

    @functools.cache
    def cached(number: int) -> bytes:
        return payload(size) + b"" if number >= 0 else b""

    return lambda: len(cached(next(numbers)))


def leak_deque(size: int) -> Body:
    """Keep a history without a bound."""
    history: collections.deque[bytes] = collections.deque()
    return lambda: history.append(payload(size))


def leak_default_argument(size: int) -> Body:
    """Add to a mutable default."""

    def add(found: list[bytes] = []) -> int:  # noqa: B006 - the leak on show
        found.append(payload(size))
        return len(found)

    return add


def leak_log_handlers(size: int) -> Body:
    """Add a log handler in each call."""
    logger = logging.getLogger(f"leak.{size}")
    logger.propagate = False

    def configure() -> None:
        handler = logging.NullHandler()
        handler.data = payload(size)  # type: ignore[attr-defined]
        logger.addHandler(handler)

    return configure


def leak_queue(size: int) -> Body:
    """Fill a queue that nobody empties."""
    waiting: queue.Queue[bytes] = queue.Queue()
    return lambda: waiting.put(payload(size))


def leak_exceptions(size: int) -> Body:
    """Keep exceptions with the frames of their tracebacks."""
    errors: list[Exception] = []

    def fail() -> None:
        data = payload(size)
        try:
            raise ValueError(len(data))  # noqa: TRY301 - it has this frame
        except ValueError as error:
            errors.append(error)

    return fail


def leak_generators(size: int) -> Body:
    """Begin generators and never end them."""
    begun: list[Iterator[bytes]] = []

    def values() -> Iterator[bytes]:
        data = payload(size)
        yield data
        yield data

    def begin() -> None:
        one = values()
        next(one)
        begun.append(one)

    return begin


def leak_futures(size: int) -> Body:
    """Wait for futures that nobody resolves."""
    loop = asyncio.new_event_loop()
    loop.close()
    waiting: set[Any] = set()

    def request() -> None:
        future = asyncio.Future(loop=loop)
        future.add_done_callback(functools.partial(max, payload(size)))
        waiting.add(future)

    return request


def leak_finalizers(size: int) -> Body:
    """Register finalizers on an object that lives on."""
    service = Holder(64)

    def register() -> None:
        weakref.finalize(service, len, payload(size)).atexit = False

    register.service = service  # type: ignore[attr-defined]
    return register


def leak_context(size: int) -> Body:
    """Nest context variables deeper and deeper."""
    spans: contextvars.ContextVar[Any] = contextvars.ContextVar("spans", default=None)
    context = contextvars.copy_context()

    def enter() -> None:
        context.run(lambda: spans.set((payload(size), spans.get())))

    return enter


def leak_classes(size: int) -> Body:
    """Make a class in each call, and register it."""
    known: dict[str, type] = {}
    numbers = itertools.count()

    def define() -> None:
        name = f"Form{next(numbers)}"
        known[name] = type(name, (), {"data": payload(size)})

    return define


def leak_bytearray(size: int) -> Body:
    """Extend one buffer."""
    log = bytearray()
    return lambda: log.extend(bytes(size))


def leak_nested(size: int) -> Body:
    """Append to lists within a dict with few keys."""
    by_user: collections.defaultdict[int, list[bytes]] = collections.defaultdict(list)
    numbers = itertools.count()
    return lambda: by_user[next(numbers) % 7].append(payload(size))


def leak_cursors(size: int) -> Body:
    """Keep database cursors open."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    cursors: list[tuple[sqlite3.Cursor, bytes]] = []

    def query() -> None:
        cursor = connection.execute("select 1 union select 2")
        cursors.append((cursor, payload(size)))

    return query


# --- innocents -----------------------------------------------------------------------


def fine_churn(size: int) -> Body:
    """Make and drop objects."""

    @dataclass
    class Row:
        number: int
        data: bytes

    return lambda: len([Row(number, payload(size)) for number in range(8)])


def fine_json(size: int) -> Body:
    """Encode and decode."""
    document = {"rows": [{"name": "x" * min(size, 4096), "n": n} for n in range(20)]}
    return lambda: len(json.loads(json.dumps(document)))


def fine_small_lru(size: int) -> Body:
    """Cache new keys all the time, a few of them."""
    numbers = itertools.count()
    cached = functools.lru_cache(maxsize=32)(lambda _number: payload(size))
    return lambda: len(cached(next(numbers)))


def fine_large_lru(size: int) -> Body:
    """Cache new keys all the time, many of them."""
    numbers = itertools.count()
    each = min(size, 64 << 10)
    cached = functools.lru_cache(maxsize=5_000)(lambda _number: payload(each))
    return lambda: len(cached(next(numbers)))


def fine_warm_up(size: int) -> Body:
    """Fill a cache over few keys."""
    cache: dict[int, bytes] = {}
    numbers = itertools.count()
    return lambda: len(cache.setdefault(next(numbers) % 50, payload(size)))


def fine_patterns(size: int) -> Body:
    """Compile expressions that the library keeps for a while."""
    numbers = itertools.count(size)
    return lambda: re.compile(f"a{next(numbers)}b*").match("a") is None


def fine_lazy(size: int) -> Body:
    """Make singletons and import modules on first use."""
    made: dict[str, object] = {}

    def use() -> None:
        import decimal
        import fractions

        if "table" not in made:
            made["table"] = [payload(min(size, 4096)) for _ in range(50)]
        _ = fractions.Fraction(decimal.Decimal("0.5"))

    return use


def fine_deque(size: int) -> Body:
    """Keep a bounded history."""
    history: collections.deque[bytes] = collections.deque(maxlen=200)
    return lambda: history.append(payload(size))


def fine_evicting(size: int) -> Body:
    """Evict the oldest by hand."""
    cache: collections.OrderedDict[int, bytes] = collections.OrderedDict()
    numbers = itertools.count()

    def put() -> None:
        cache[next(numbers)] = payload(size)
        if len(cache) > 100:
            cache.popitem(last=False)

    return put


class ExpiringCache:
    """Drops entries a minute after they were made."""

    def __init__(self, ttl: float) -> None:
        """Remember the age at which an entry goes."""
        self.ttl = ttl
        self.entries: dict[int, tuple[float, bytes]] = {}
        self.numbers = itertools.count()

    def put(self, data: bytes) -> None:
        """Add an entry and drop those that are too old."""
        now = time.monotonic()
        self.entries[next(self.numbers)] = (now, data)
        for key in [k for k, (at, _) in self.entries.items() if now - at > self.ttl]:
            del self.entries[key]


def fine_expiring(size: int) -> Body:
    """Cache with an age."""
    cache = ExpiringCache(ttl=0.05)
    return lambda: cache.put(payload(min(size, 1 << 16)))


def fine_threads(size: int) -> Body:
    """Start threads and join them."""

    def work() -> None:
        thread = threading.Thread(target=payload, args=(size,))
        thread.start()
        thread.join()

    return work


def fine_pool(size: int) -> Body:
    """Hand work to a pool that fills as it is used."""
    pool = ThreadPoolExecutor(max_workers=4)
    return lambda: len(pool.submit(payload, size).result())


def fine_asyncio(size: int) -> Body:
    """Run tasks in a loop of their own."""

    async def one() -> int:
        await asyncio.sleep(0)
        return len(payload(size))

    async def main() -> None:
        tasks = [asyncio.ensure_future(one()) for _ in range(3)]
        await asyncio.gather(*tasks)

    return lambda: asyncio.run(main())


def fine_timeouts(size: int) -> Body:
    """Cancel what takes too long."""

    async def main() -> None:
        data = payload(size)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.0005)
        del data

    return lambda: asyncio.run(main())


def fine_logging(size: int) -> Body:
    """Log, warn and print, which runners of tests keep."""
    logger = logging.getLogger(f"fine.{size}")

    def log() -> None:
        logger.warning("handled %s", "x" * min(size, 1024))
        print("handled")
        warnings.warn("deprecated", DeprecationWarning, stacklevel=2)

    return log


def fine_exceptions(size: int) -> Body:
    """Raise through a few frames and handle it."""

    def deep(level: int) -> None:
        data = payload(size)
        if level:
            deep(level - 1)
        raise KeyError(len(data))

    def handle() -> None:
        with contextlib.suppress(KeyError):
            deep(5)

    return handle


def fine_database(size: int) -> Body:
    """Open a database for each call, and close it."""

    def query() -> None:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("create table t (x)")
            connection.execute("insert into t values (?)", (payload(size),))

    return query


def fine_files(size: int) -> Body:
    """Write a temporary file."""

    def write() -> None:
        with tempfile.TemporaryFile() as file:
            file.write(payload(size))

    return write


def fine_cycles(size: int) -> Body:
    """Make cycles that the collector has to find."""

    def cycle() -> None:
        one = Holder(size)
        one.link = Holder(size, one)

    return cycle


def fine_buffers(size: int) -> Body:
    """Build strings in buffers, intern a few, format templates."""
    template = string.Template("$name is $size")

    def build() -> None:
        buffer = io.StringIO()
        for number in range(20):
            buffer.write(template.substitute(name=f"n{number}", size=size))
        weak = weakref.WeakValueDictionary({0: Holder(size)})
        _ = buffer.getvalue(), len(weak)

    return build


LEAKS = {name: way for name, way in globals().items() if name.startswith("leak_")}
INNOCENTS = {name: way for name, way in globals().items() if name.startswith("fine_")}
SIZES = (64, 1 << 10, 16 << 10, 128 << 10, 1 << 20)
