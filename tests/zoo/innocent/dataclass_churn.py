"""Invoices as nested dataclasses, copied, compared and converted, then dropped."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field, replace

EXPECT = {"verdict": {"steady"}}


@dataclass(frozen=True)
class Line:
    sku: str
    quantity: int
    cents: int

    @property
    def total(self) -> int:
        return self.quantity * self.cents


@dataclass
class Invoice:
    number: int
    lines: list[Line] = field(default_factory=list)
    paid: bool = False

    def total(self) -> int:
        return sum(line.total for line in self.lines)


def make_invoice(number: int) -> Invoice:
    lines = [Line(f"sku-{n}", n % 4 + 1, number * n % 5000) for n in range(12)]
    return Invoice(number, lines)


def step(i: int) -> int:
    invoice = make_invoice(i)
    corrected = copy.deepcopy(invoice)
    corrected.lines[0] = replace(corrected.lines[0], quantity=9)
    assert corrected != invoice
    return corrected.total() + len(asdict(invoice)["lines"])
