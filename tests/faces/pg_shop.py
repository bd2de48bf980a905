"""A shop on PostgreSQL, with a psycopg pool and with SQLAlchemy; both ways of each.

What is wrong with the leaking ones is what is wrong in the wild: nothing is given back
when an error comes between, and the caller keeps what it was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

#: Where the leaking handlers leave what they were given.
PENDING: list[Any] = []


class UnavailableError(Exception):
    """What the shop answers where something is wrong with an order."""


def engine_at(address: str) -> Engine:
    from psycopg import connect

    return create_engine(
        "postgresql+psycopg://", creator=lambda: connect(address), pool_size=8
    )


def price_leaking(pool: ConnectionPool, order: int) -> int:
    connection = pool.getconn()
    (price,) = connection.execute("select %s::int", (order,)).fetchone() or (0,)
    if not order:
        PENDING.append(connection)
        raise UnavailableError
    pool.putconn(connection)
    return price


def price_fixed(pool: ConnectionPool, order: int) -> int:
    with pool.connection() as connection:
        (price,) = connection.execute("select %s::int", (order,)).fetchone() or (0,)
        if not order:
            raise UnavailableError
    return price


def stock_leaking(engine: Engine, order: int) -> int:
    session = Session(engine)
    found = session.execute(text("select :order"), {"order": order}).scalar()
    if not order:
        PENDING.append(session)
        raise UnavailableError
    session.close()
    return int(found or 0)


def stock_fixed(engine: Engine, order: int) -> int:
    with Session(engine) as session:
        found = session.execute(text("select :order"), {"order": order}).scalar()
        if not order:
            raise UnavailableError
    return int(found or 0)
