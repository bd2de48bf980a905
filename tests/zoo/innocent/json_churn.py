"""An API handler that decodes, validates and encodes JSON, and keeps nothing."""

from __future__ import annotations

import json
import random
from string import Template

EXPECT = {"verdict": {"steady"}}

RANDOM = random.Random(30)
GREETING = Template("Dear $name, you have $points points in $city.")


class Handler:
    required = ("name", "city", "points")

    def handle(self, body: str) -> str:
        people = json.loads(body)
        valid = [p for p in people if all(key in p for key in self.required)]
        texts = [GREETING.substitute(person) for person in valid]
        return json.dumps({"count": len(texts), "texts": texts}, indent=1)


HANDLER = Handler()


def request_body() -> str:
    people = []
    for n in range(20):
        person: dict[str, object] = {"name": f"N{n}", "points": RANDOM.randrange(1000)}
        if RANDOM.random() < 0.9:
            person["city"] = RANDOM.choice(("Rome", "Oslo", "Lima"))
        people.append(person)
    return json.dumps(people)


def step() -> int:
    return len(HANDLER.handle(request_body()))
