"""A real PostgreSQL, pools and an app that serves: who does not give back is named."""

from __future__ import annotations

import inspect
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

import leakguard
from leakguard import instruments
from leakguard._readers.source import SourceMap
from leakguard._runtime import retention
from leakguard._runtime.monitor import process
from tests.postgres_cluster import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from leakguard import Report
    from leakguard._core.records import Suspect

__all__ = ["postgres"]

pytest.importorskip("sqlalchemy")
psycopg_pool = pytest.importorskip("psycopg_pool")
pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 120.0
POOL, LEAKED = 8, 3


class Shop:
    """Serves from two threads; some requests go wrong, a while after one another."""

    def __init__(self, *handlers: Callable[[int], object]) -> None:
        self.served = 0
        self._handlers = handlers
        self._failures, self._fail_at = LEAKED, time.monotonic()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._serve) for _ in range(2)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        from tests.faces.pg_shop import UnavailableError

        while not self._over.wait(0.002):
            fails = self._is_time_to_fail()
            for handler in self._handlers:
                with suppress(UnavailableError):
                    handler(0 if fails else 1 + self.served)
            self.served += 1

    def _is_time_to_fail(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if not self._failures or now < self._fail_at:
                return False
            self._failures, self._fail_at = self._failures - 1, now + 1.0
            return True


@contextmanager
def instrumented(address: str, grace_seconds: float) -> Iterator[tuple[Any, Any]]:
    """Have the pools as an app has them, made after ``instrument``."""
    process().retention.reset()  # it rests in proportion to what others had it do
    leakguard.instrument(
        "psycopg", "psycopg_pool", "sqlalchemy", grace_seconds=grace_seconds
    )
    from tests.faces.pg_shop import PENDING, engine_at

    with ExitStack() as stack:
        stack.callback(leakguard.uninstrument)
        engine = engine_at(address)
        stack.callback(engine.dispose)
        pool = stack.enter_context(
            psycopg_pool.ConnectionPool(address, min_size=1, max_size=POOL, open=True)
        )

        @stack.callback
        def _give_back() -> None:
            for held in PENDING:
                held.close()
            PENDING.clear()

        yield pool, engine


def wait(until: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < give_up_at, "it takes too long"
        time.sleep(0.05)


def resources(report: Report) -> dict[str, Suspect]:
    """Return the suspects of resources by the function they are named in."""
    found = [suspect for suspect in report.suspects if suspect.source == "resource"]
    return {str(s.site and s.site.function): s for s in found}


def line_of(function: Callable[..., object], words: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(at for at, line in enumerate(lines) if words in line)


def test_check_outs_that_are_not_given_back_are_named_while_the_app_serves(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(retention, "SEARCH_SECONDS", 60.0)
    monkeypatch.setattr(retention, "SEARCH_SHARE", 1.0)
    found: dict[str, Suspect] = {}

    def named() -> bool:
        found.clear()
        found.update(resources(guard.report()))
        both = [found.get("price_leaking"), found.get("stock_leaking")]
        return all(one and one.owner and f"{LEAKED} of " in one.hint for one in both)

    with instrumented(postgres, 0.5) as (pool, engine), leakguard.Guard() as guard:
        from tests.faces.pg_shop import price_leaking, stock_leaking

        price, stock = price_leaking, stock_leaking
        with Shop(lambda n: price(pool, n), lambda n: stock(engine, n)) as shop:
            wait(named)
            served = shop.served
            wait(lambda: shop.served > served + 20)  # it still serves
    pooled, session = found["price_leaking"], found["stock_leaking"]
    assert pooled.site is not None
    assert pooled.owner is not None
    assert pooled.site.file == price.__code__.co_filename
    assert pooled.site.line == line_of(price, "pool.getconn()")
    assert pooled.type == "psycopg.Connection"
    assert pooled.owner.path == "tests.faces.pg_shop.PENDING[…]"
    assert (pooled.pattern, pooled.source) == ("unclosed-connection", "resource")
    assert "with pool.connection()" in str(pooled.example)
    assert session.site is not None
    assert session.site.line == line_of(stock, "session.execute(")
    assert "SQLAlchemy pool" in session.hint


def test_code_that_gives_back_is_acquitted(postgres: str) -> None:
    with instrumented(postgres, 5.0) as (pool, engine), leakguard.Guard() as guard:
        from tests.faces.pg_shop import price_fixed, stock_fixed

        price, stock = price_fixed, stock_fixed
        with Shop(lambda n: price(pool, n), lambda n: stock(engine, n)) as shop:
            for _ in range(8):
                served = shop.served
                wait(lambda served=served: shop.served > served + 25)
                process().retention.look()
                assert resources(guard.report()) == {}
        process().retention.look()
        assert resources(guard.report()) == {}
        rows = [row for row in instruments.held() if row.file.endswith("pg_shop.py")]
    given_back = [row for row in rows if "pool" in row.what or "cursor" in row.what]
    assert len(given_back) >= 2
    assert all(row.acquired > 100 and not row.unreleased for row in given_back), rows


def test_a_connection_that_is_dropped_is_lost_to_its_pool(postgres: str) -> None:
    with instrumented(postgres, 0.1) as (pool, _):

        def forget() -> None:
            pool.getconn()

        for _ in range(LEAKED):
            forget()
        with suppress(psycopg_pool.PoolTimeout):
            pool.getconn(timeout=0.1)
        process().retention.look()
        (found,) = process().retention.suspects(SourceMap().names())
        assert found.site is not None
        assert found.site.line == line_of(forget, "pool.getconn()")
        assert f"{LEAKED} were dropped" in found.hint
        pool.close()


def test_connections_and_cursors_of_psycopg2(postgres: str) -> None:
    psycopg2 = pytest.importorskip("psycopg2")
    leakguard.instrument("psycopg2")
    try:
        connections = [psycopg2.connect(postgres) for _ in range(3)]
        cursors = [connections[0].cursor() for _ in range(3)]
        cursors[0].execute("select 1")
        assert cursors[0].fetchone() == (1,)
        cursors.pop().close()
        connections.pop().close()
        rows = {row.what: row for row in instruments.held() if row.file == __file__}
        connection, cursor = rows["database connections"], rows["cursors"]
        assert (connection.acquired, connection.unreleased) == (3, 2)
        assert (cursor.acquired, cursor.unreleased) == (3, 2)
        assert type(connections[0]).__name__ == "connection"
        for held in connections:
            held.close()
    finally:
        leakguard.uninstrument()


def test_connections_of_psycopg_alone_and_asynchronous(postgres: str) -> None:
    import asyncio

    import psycopg

    async def main() -> None:
        async with psycopg_pool.AsyncConnectionPool(
            postgres, min_size=1, max_size=2, open=False
        ) as pool:
            connection = await pool.getconn()
            cursor = connection.cursor()
            assert held("taken from a psycopg pool") == (1, 1)
            await cursor.close()
            await pool.putconn(connection)
            assert held("taken from a psycopg pool") == (1, 0)
            assert held("cursors") == (3, 1)

    def held(what: str) -> tuple[int, int]:
        rows = [row for row in instruments.held() if row.file == __file__]
        found = [row for row in rows if what in row.what]
        return sum(row.acquired for row in found), sum(r.unreleased for r in found)

    leakguard.instrument("psycopg", "psycopg_pool")
    try:
        with psycopg.connect(postgres) as connection, connection.cursor() as cursor:
            assert held("database connections") == held("cursors") == (1, 1)
            cursor.execute("select 1")
            with connection.cursor("named") as named:
                named.execute("select 1")
            assert held("cursors")[1] == 1
            asyncio.run(main())
        assert held("cursors")[1] == 0
    finally:
        leakguard.uninstrument()
