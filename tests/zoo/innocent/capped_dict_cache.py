"""A plain dict as a cache: past ``MAX_ENTRIES`` the oldest entry makes room."""

from __future__ import annotations

import random

EXPECT = {"verdict": {"cache", "steady"}}

MAX_ENTRIES = 3000
RANDOM = random.Random(3000)

_translations: dict[str, dict[str, str]] = {}


class Translator:
    languages = ("de", "fr", "pt")

    def translate(self, key: str) -> dict[str, str]:
        if key in _translations:
            return _translations[key]
        if len(_translations) >= MAX_ENTRIES:
            _translations.pop(next(iter(_translations)))
        texts = {language: f"{key}@{language}" for language in self.languages}
        _translations[key] = texts
        return texts


TRANSLATOR = Translator()


def step() -> int:
    page = [f"label.{RANDOM.randrange(40_000)}" for _ in range(3)]
    return sum(len(TRANSLATOR.translate(key)["fr"]) for key in page)
