"""The habits: their texts are whole, and the pages about them are the table's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leakguard._core.patterns import HABITS

PAGES = Path(__file__).parents[2] / "docs" / "patterns"
FILLS = {"owner": "kept", "name": "kept", "kind": "object", "gc": "it is off"}


def test_there_are_at_least_twenty() -> None:
    assert len(HABITS) >= 20
    assert len({habit.pattern for habit in HABITS.values()}) == 12


@pytest.mark.parametrize("name", HABITS)
def test_a_habit_has_a_section_with_its_fix(name: str) -> None:
    page = PAGES / f"{HABITS[name].pattern}.md"
    sections = re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)
    (section,) = (s for s in sections if re.match(rf"{name}( {{.*}})?\n\n\*\*", s))
    assert "**Symptom.**" in section
    assert "**In the report:**" in section
    assert "**Fix.**" in section
    assert HABITS[name].example.format(**FILLS) in section


@pytest.mark.parametrize("name", HABITS)
def test_a_hint_is_one_or_two_sentences(name: str) -> None:
    hint = HABITS[name].hint.format(**FILLS)
    assert hint.endswith(".")
    assert 40 < len(hint) < 320
