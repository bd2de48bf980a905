"""Mail texts are compiled Jinja templates remembered by their source.

The recipient's name is put into the source before, so each source is new.
"""

from __future__ import annotations

import jinja2

EXPECT = {
    "verdict": "leak",
    "sites": ["compiled", "greet"],
    "owner": "MAILER._compiled",
    "pattern": "unbounded-cache",
    "habit": "dict-as-cache",
    "bytes_per_call": (3000, 9800),
    "needs": "jinja2",
}

BODY = """
{% for item in items %}- {{ item.name|title }}: {{ item.price }}
{% endfor %}Total: {{ items|sum(attribute="price") }}
"""


class Mailer:
    def __init__(self) -> None:
        self.environment = jinja2.Environment(autoescape=True)
        self._compiled: dict[str, jinja2.Template] = {}

    def compiled(self, source: str) -> jinja2.Template:
        if source not in self._compiled:
            self._compiled[source] = self.environment.from_string(source)  # LEAK
        return self._compiled[source]

    def greet(self, name: str, items: list[dict]) -> str:
        source = f"Dear {name},\n{BODY}"  # LEAK
        return self.compiled(source).render(items=items)


MAILER = Mailer()
ITEMS = [{"name": f"item {n}", "price": n * 3} for n in range(25)]


def step(i: int) -> int:
    return len(MAILER.greet(f"customer {i}", ITEMS))
