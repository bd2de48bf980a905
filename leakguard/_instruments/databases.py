"""Connections, cursors, sessions and check-outs of database packages."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from leakguard._core.resources import Kind
from leakguard._instruments.targets import (
    Resource,
    Target,
    makes,
    releases,
    returns,
    shelf_of,
    takes_back,
)

if TYPE_CHECKING:
    from leakguard._instruments.targets import Function
    from leakguard._runtime.resources import Shelf

_WITH = "Close it where it is opened: `with contextlib.closing(...)`, or try/finally."

CONNECTION = Resource(
    Kind(
        "database connections",
        "unclosed-connection",
        f"{_WITH} Or keep one pool for the process.",
        "with contextlib.closing(connect(...)) as connection: ...",
    )
)
CURSOR = Resource(
    Kind(
        "cursors",
        "unclosed-connection",
        f"{_WITH} An open cursor keeps its rows.",
        "with contextlib.closing(connection.cursor()) as cursor: ...",
    )
)
POOLED = Resource(
    Kind(
        "connections taken from a psycopg pool",
        "unclosed-connection",
        "Give each one back, also when an error comes between: use the pool's context "
        "manager in place of getconn().",
        "with pool.connection() as connection: ...",
        nature="borrowed",
        collected="lost",
    )
)
CHECKED_OUT = Resource(
    Kind(
        "connections checked out of a SQLAlchemy pool",
        "unclosed-connection",
        "Give each one back, also when an error comes between: use the connection or "
        "the session as a context manager.",
        "with engine.connect() as connection: ...  # or: with Session(engine) as ...",
        nature="borrowed",
    )
)
SESSION = Resource(
    Kind(
        "SQLAlchemy sessions",
        "unclosed-connection",
        "Close each session: it keeps a connection and all that it has loaded.",
        "with Session(engine) as session: ...",
    )
)


def _connects_sqlite3(original: Function, shelf: Shelf) -> Function:
    import sqlite3

    cursors = shelf_of(CURSOR, shelf)
    rows = _closing(sqlite3.Cursor, cursors)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = rows) -> Any:
            cursor = super().cursor(factory)
            cursors.take(cursor)
            return cursor

    return _connects(original, shelf, _closing(Connection, shelf), "factory", 5)


def _connects_psycopg2(original: Function, shelf: Shelf) -> Function:
    extensions: Any = sys.modules["psycopg2.extensions"]
    cursors = shelf_of(CURSOR_IN_C, shelf)

    class connection(extensions.connection):  # type: ignore[misc]  # noqa: N801 - as theirs
        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            cursor = super().cursor(*args, **kwargs)
            cursors.take(cursor)
            return cursor

    made = _closing(connection, shelf)
    return _connects(original, shelf, made, "connection_factory", 1)


def _connects(
    original: Function, shelf: Shelf, made: type, option: str, place: int
) -> Function:
    """Wrap ``connect`` of a driver in C, whose classes cannot be patched.

    Unless the program asks for a class of its own it gets one of ours, derived from
    the driver's, by the ``option`` that is meant for that.
    """
    take = shelf.take

    @functools.wraps(original)
    def connect(*args: Any, **kwargs: Any) -> Any:
        if len(args) <= place:
            kwargs.setdefault(option, made)
        connection = original(*args, **kwargs)
        take(connection)
        return connection

    return connect


def _closing(base: type, shelf: Shelf) -> type:
    """Return a class just like ``base`` whose ``close`` is taken down."""

    def close(self: Any) -> None:
        shelf.drop(id(self))
        base.close(self)  # type: ignore[attr-defined]

    driver = next(kind for kind in base.__mro__ if kind.__module__ != __name__)
    names = {"__module__": driver.__module__, "close": close}
    return type(driver.__name__, (base,), names)


def _is_open(cursor: Any, _key: object) -> bool:
    return not cursor.closed


#: Cursors of a driver in C: that one is closed shows when it is looked at.
CURSOR_IN_C = Resource(CURSOR.kind, _is_open)

SQLITE3 = (
    Target("sqlite3", "connect", _connects_sqlite3, CONNECTION),
    Target("sqlite3", "dbapi2.connect", _connects_sqlite3, CONNECTION),
)
PSYCOPG2 = (Target("psycopg2", "connect", _connects_psycopg2, CONNECTION),)
PSYCOPG = (
    Target("psycopg", "BaseConnection.__init__", makes, CONNECTION),
    Target("psycopg", "Connection.close", releases, CONNECTION),
    Target("psycopg", "AsyncConnection.close", releases, CONNECTION),
    Target("psycopg", "Cursor.__init__", makes, CURSOR),
    Target("psycopg", "AsyncCursor.__init__", makes, CURSOR),
    Target("psycopg", "Cursor.close", releases, CURSOR),
    Target("psycopg", "AsyncCursor.close", releases, CURSOR),
    Target("psycopg", "ServerCursor.close", releases, CURSOR),
    Target("psycopg", "AsyncServerCursor.close", releases, CURSOR),
)
PSYCOPG_POOL = (
    Target("psycopg_pool", "ConnectionPool.getconn", returns, POOLED),
    Target("psycopg_pool", "ConnectionPool.putconn", takes_back, POOLED),
    Target("psycopg_pool", "AsyncConnectionPool.getconn", returns, POOLED),
    Target("psycopg_pool", "AsyncConnectionPool.putconn", takes_back, POOLED),
)
PYMYSQL = (
    Target("pymysql.connections", "Connection.__init__", makes, CONNECTION),
    Target("pymysql.connections", "Connection.close", releases, CONNECTION),
    Target("pymysql.connections", "Connection._force_close", releases, CONNECTION),
    Target("pymysql.connections", "Connection.cursor", returns, CURSOR),
    Target("pymysql.cursors", "Cursor.close", releases, CURSOR),
    Target("pymysql.cursors", "SSCursor.close", releases, CURSOR),
)
SQLALCHEMY = (
    Target("sqlalchemy.pool.base", "Pool.connect", returns, CHECKED_OUT),
    Target("sqlalchemy.pool.impl", "SingletonThreadPool.connect", returns, CHECKED_OUT),
    Target("sqlalchemy.pool.base", "_ConnectionFairy._checkin", releases, CHECKED_OUT),
    Target("sqlalchemy.pool.base", "_ConnectionFairy.detach", releases, CHECKED_OUT),
    Target(
        "sqlalchemy.pool.base", "_ConnectionFairy.invalidate", releases, CHECKED_OUT
    ),
    Target("sqlalchemy.orm.session", "Session.__init__", makes, SESSION),
    Target("sqlalchemy.orm.session", "Session.close", releases, SESSION),
    Target("sqlalchemy.orm.session", "Session.invalidate", releases, SESSION),
)
