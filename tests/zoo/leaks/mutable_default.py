"""A validator with a mutable default argument collects the errors of all requests."""

from __future__ import annotations

import random

EXPECT = {
    "verdict": "leak",
    "sites": ["validate", "problem", "random_form"],
    "owner": "validate.__defaults__",
    "pattern": "registry",
    "habit": "mutable-default",
    "bytes_per_call": (140, 480),
}

RANDOM = random.Random(100)


def problem(field: str, value: object) -> dict[str, str]:
    return {"field": field, "message": f"{field} may not be {value}"}  # LEAK


def validate(form: dict[str, int], errors: list[dict] = []) -> list[dict]:  # noqa: B006
    for name, value in form.items():
        if value < 0:
            errors.append(problem(name, value))  # LEAK
    return errors


def random_form() -> dict[str, int]:
    return {f"field{n}": RANDOM.randrange(-2, 100) for n in range(40)}  # LEAK


def step() -> int:
    form = random_form()
    return len(validate(form)) + sum(sorted(form.values()))
