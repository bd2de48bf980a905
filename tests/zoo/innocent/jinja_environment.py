"""One Jinja environment with a loader of 30 templates and Jinja's own cache."""

from __future__ import annotations

import random

import jinja2

EXPECT = {"verdict": {"cache", "steady"}, "needs": "jinja2"}

RANDOM = random.Random(35)
SOURCES = {
    f"page{n}.html": (
        "{% extends 'base.html' %}{% block body %}"
        f"<h1>{n}</h1>"
        "{% for row in rows %}<p>{{ row.name|upper }} {{ row.value }}</p>{% endfor %}"
        "{% endblock %}"
    )
    for n in range(30)
}
SOURCES["base.html"] = "<html>{% block body %}{% endblock %}</html>"


class Site:
    def __init__(self) -> None:
        self.environment = jinja2.Environment(
            loader=jinja2.DictLoader(SOURCES), autoescape=True
        )

    def page(self, number: int, rows: list[dict]) -> str:
        template = self.environment.get_template(f"page{number}.html")
        return template.render(rows=rows)


SITE = Site()


def step(i: int) -> int:
    rows = [{"name": f"name {i} {n}", "value": i * n} for n in range(8)]
    return len(SITE.page(RANDOM.randrange(30), rows))
