"""Forms are classes built with ``type()`` per questionnaire and kept in a registry."""

from __future__ import annotations

import random

EXPECT = {
    "verdict": "leak",
    "sites": ["build_form", "register", "fields_for", "__init__"],
    "owner": "FORMS",
    "pattern": "class",
    "habit": "class-per-call",
    "bytes_per_call": (2000, 6000),
}

RANDOM = random.Random(8)
FORMS: dict[str, type] = {}


class Field:
    def __init__(self, label: str, *, required: bool) -> None:
        self.label = label  # LEAK
        self.required = required

    def clean(self, value: str) -> str:
        text = value.strip()
        if self.required and not text:
            raise ValueError(self.label)
        return text.title()


class BaseForm:
    fields: dict[str, Field] = {}

    def clean(self, data: dict[str, str]) -> dict[str, str]:
        return {name: f.clean(data[name]) for name, f in self.fields.items()}


def fields_for(count: int) -> dict[str, Field]:
    return {  # LEAK
        f"q{n}": Field(f"Question {n}", required=n % 2 == 0)  # LEAK
        for n in range(count)
    }


def register(form: type) -> type:
    FORMS[form.__name__] = form  # LEAK
    return form


def build_form(number: int) -> type:
    fields = fields_for(4 + number % 3)
    return register(type(f"Form{number}", (BaseForm,), {"fields": fields}))  # LEAK


def step(i: int) -> int:
    form = build_form(i)()
    answers = {name: f" answer {RANDOM.randrange(99)} " for name in form.fields}
    cleaned = [form.clean(answers) for _ in range(150)]
    return len(cleaned)
