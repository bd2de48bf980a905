"""Paging through results with generators that are abandoned after the first page."""

from __future__ import annotations

from collections.abc import Iterator

EXPECT = {
    "verdict": "leak",
    "sites": ["open", "pages", "first_page", "matching"],
    "owner": "BROWSER.searches",
    "pattern": "registry",
    "habit": "suspended-generator",
    "bytes_per_call": (2200, 7700),
}

CATALOGUE = [f"article {n} {n * n % 1013:04}" for n in range(1200)]


def matching(term: str) -> list[str]:
    return [f"{term}: {entry}" for entry in CATALOGUE if term in entry]  # LEAK


def pages(term: str, size: int) -> Iterator[list[str]]:
    found = matching(term)  # LEAK
    for start in range(0, len(found), size):
        yield found[start : start + size]  # LEAK


class Browser:
    def __init__(self) -> None:
        self.searches: list[Iterator[list[str]]] = []

    def open(self, term: str) -> Iterator[list[str]]:
        search = pages(term, size=10)  # LEAK
        self.searches.append(search)  # LEAK
        return search

    def first_page(self, term: str) -> list[str]:
        return next(self.open(term), [])  # LEAK


BROWSER = Browser()


def step(i: int) -> int:
    page = BROWSER.first_page(f"{i % 90 + 10}")
    scores = [sum(map(ord, entry)) for entry in CATALOGUE]
    return len(page) + max(scores)
