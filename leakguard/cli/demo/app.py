"""A small web shop: three memory leaks, and one cache that only looks like a fourth.

The leaks are those of many services: a listener that is never removed, a database
connection that is never given back, and a cache without a bound. The lines to be
told apart have a comment above: ``leak:`` or ``innocent:``, and ``with it:`` where
a leak keeps something more alive.
"""

from __future__ import annotations

import functools
import sqlite3
from typing import TYPE_CHECKING

from flask import Flask, request

if TYPE_CHECKING:
    from collections.abc import Callable

DATABASE = "file:shop?mode=memory&cache=shared"
PRODUCTS = 64
app = Flask(__name__)
template = app.jinja_env.from_string("""<!doctype html>
<title>Product {{ number }}</title>
<h1>Product {{ number }}</h1>
<p>{{ stock }} in stock. Welcome, visitor from {{ source }}!</p>
<ul>
{% for other in others %}<li><a href="/product/{{ other }}">Product {{ other }}</a></li>
{% endfor %}</ul>
""")


class EventBus:
    """Tells everyone who listens what happens in the shop."""

    def __init__(self) -> None:
        """Start without listeners."""
        self.listeners: list[Callable[[str], None]] = []

    def on(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` at each event from now on."""
        # with it: the list that all listeners stay in
        self.listeners.append(listener)

    def emit(self, event: str) -> None:
        """Tell all listeners."""
        for listener in self.listeners:
            listener(event)


class Pool:
    """Lends database connections, and opens more when all are lent."""

    def __init__(self) -> None:
        """Open the first connection: the database lives as long as one is open."""
        self.lent: list[sqlite3.Connection] = []
        self.free = [self.connect()]

    def connect(self) -> sqlite3.Connection:
        """Open one more connection."""
        # leak: the connection that each look at the stock takes and keeps
        return sqlite3.connect(DATABASE, uri=True, check_same_thread=False)

    def take(self) -> sqlite3.Connection:
        """Lend a connection until it is given back."""
        connection = self.free.pop() if self.free else self.connect()
        # with it: the list that all connections stay in
        self.lent.append(connection)
        return connection

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Accept a lent connection for the next one who asks."""
        self.lent.remove(connection)
        self.free.append(connection)

    def close(self) -> None:
        """Close all connections, at the end of the shop."""
        for connection in self.free + self.lent:
            connection.close()


def open_database() -> None:
    """Fill the shelves."""
    connection = pool.take()
    connection.execute("create table stock (number integer primary key, pieces int)")
    rows = [(number, number * 7 % 40) for number in range(PRODUCTS)]
    connection.executemany("insert into stock values (?, ?)", rows)
    connection.commit()
    pool.give_back(connection)


bus = EventBus()
pool = Pool()
pages: dict[str, str] = {}
open_database()


@app.get("/")
def home() -> str:
    """Greet: a page that is built anew and forgotten."""
    return "\n".join(f"<a href='/product/{n}'>Product {n}</a>" for n in range(PRODUCTS))


@app.get("/product/<int:number>")
def product(number: int) -> str:
    """Show a product; the page is kept under the full address it was asked by."""
    # with it: the address, which is the key of the page
    address = request.full_path
    if address not in pages:
        others = [(number + step) % PRODUCTS for step in range(1, 9)]
        source = request.args.get("from", "nowhere")
        # leak: the page, kept for ever because no two addresses are the same
        pages[address] = template.render(number=number, others=others, source=source)
    return pages[address]


@app.get("/stock/<int:number>")
def stock(number: int) -> dict[str, int]:
    """Tell how many pieces there are; the connection is not given back."""
    connection = pool.take()
    query = "select pieces from stock where number = ?"
    # with it: what the connection remembers of its statements
    (pieces,) = connection.execute(query, (number,)).fetchone()
    return {"number": number, "pieces": pieces}


@app.post("/order/<int:number>")
def order(number: int) -> dict[str, int]:
    """Sell a product; the listener of this order is not removed when it is done."""
    # with it: the note
    note = request.get_json()["note"]
    # leak: the listener of each order, and with it the note it holds
    bus.on(lambda event: print(f"{event}: {note}") if event == note else None)
    bus.emit(f"product {number} is sold")
    return {"sold": number}


@functools.lru_cache(maxsize=4096)
def price_tag(number: int) -> str:
    """Return the price of a product as it stands on its tag."""
    # innocent: the price tag, one of the 4096 that the cache keeps at most
    return f"Product {number} costs {number * 19 % 400}.99 EUR.".ljust(400)


@app.get("/price/<int:number>")
def price(number: int) -> dict[str, str]:
    """Tell a price, from a cache that has a bound."""
    return {"price": price_tag(number)}
