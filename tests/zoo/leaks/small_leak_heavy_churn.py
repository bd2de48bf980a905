"""A tokenizer makes thousands of short-lived objects per document.

Between them it keeps one small tuple per document: the position of the last error.
"""

from __future__ import annotations

import random
import re
from collections import Counter

EXPECT = {
    "verdict": "leak",
    "sites": ["tokens", "note_error", "analyse"],
    "owner": "ANALYSER._errors",
    "pattern": "registry",
    "habit": "append-only",
    "bytes_per_call": (92, 320),
}

TOKEN = re.compile(r"(?P<word>[a-z]+)|(?P<number>\d+)|(?P<other>\S)")
RANDOM = random.Random(2)
PIECES = ["alpha", "beta", "12", "345", "(", ")", "gamma", "delta", "?"]


class Analyser:
    def __init__(self) -> None:
        self._errors: list[tuple[int, int]] = []

    def tokens(self, text: str) -> list[dict]:
        return [
            {"kind": match.lastgroup, "text": match.group(), "span": match.span()}
            for match in TOKEN.finditer(text)
        ]

    def note_error(self, document: int, position: int) -> None:
        self._errors.append((document, position))  # LEAK

    def analyse(self, document: int, text: str) -> Counter[str]:
        found = self.tokens(text)
        others = [t["span"][0] for t in found if t["kind"] == "other"]
        if others:
            self.note_error(document + 1_000_000, others[-1] + 1000)  # LEAK
        return Counter(t["kind"] for t in found)


ANALYSER = Analyser()


def step(i: int) -> int:
    text = " ".join(RANDOM.choices(PIECES, k=1500))
    return ANALYSER.analyse(i, text)["word"]
