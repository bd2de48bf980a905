"""Orders are added to one SQLAlchemy session, and nobody ever commits."""

from __future__ import annotations

import random

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

EXPECT = {
    "verdict": "leak",
    "sites": ["take", "step"],
    "owner": "DESK.orders._new",
    "pattern": "unbounded-cache",
    "habit": "kept-session",
    "needs": "sqlalchemy",
    "bytes_per_call": (700, 4000),
}

RANDOM = random.Random(83)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    number: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]


class Desk:
    def __init__(self) -> None:
        self.engine = create_engine("sqlite://")
        self.orders = Session(self.engine)

    def take(self, number: int) -> int:
        note = f"deliver {number} to door {RANDOM.randrange(400)}"
        self.orders.add(Order(number=number, note=note))  # LEAK
        return len(note)


DESK = Desk()


def step(i: int) -> int:
    prices = [RANDOM.random() * n for n in range(200)]
    return DESK.take(i) + int(sum(prices))  # LEAK
