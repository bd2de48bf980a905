"""``lru_cache(maxsize=None)`` over free text: search queries typed by users."""

from __future__ import annotations

import random
import re
import unicodedata
from functools import lru_cache

EXPECT = {
    "verdict": "leak",
    "sites": ["normalise", "typed_query", "search"],
    "owner": "normalise",
    "pattern": "unbounded-cache",
    "habit": "lru-cache-without-bound",
    "bytes_per_call": (210, 710),
}

RANDOM = random.Random(3)
SYLLABLES = ("ba", "do", "fi", "gu", "ke", "lo", "ma", "ni", "po", "ru", "sa", "tu")
SPACES = re.compile(r"\s+")


@lru_cache(maxsize=None)  # noqa: UP033
def normalise(query: str) -> tuple[str, ...]:
    text = unicodedata.normalize("NFKD", query).casefold()
    return tuple(SPACES.sub(" ", text).split(" "))  # LEAK


def typed_query() -> str:
    words = ("".join(RANDOM.choices(SYLLABLES, k=3)) for _ in range(4))
    return "  ".join(words)  # LEAK


def search(query: str, documents: list[str]) -> int:
    terms = normalise(query)  # LEAK
    return sum(term in document for term in terms for document in documents)


DOCUMENTS = ["".join(RANDOM.choices(SYLLABLES, k=60)) for _ in range(40)]


def step() -> int:
    return search(typed_query(), DOCUMENTS)
