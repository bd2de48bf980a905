"""A settings override pushes its tokens on a stack kept in a context variable.

``override`` is called per request, ``restore`` only by the tests.
"""

from __future__ import annotations

from contextvars import ContextVar, Token

EXPECT = {
    "verdict": "leak",
    "sites": ["override", "render"],
    "owner": None,
    "pattern": "registry",
    "habit": "context-variable",
    "bytes_per_call": (190, 620),
}

Settings = dict[str, str]

DEFAULTS: Settings = {"locale": "en", "theme": "light", "currency": "EUR"}
settings: ContextVar[Settings] = ContextVar("settings", default=DEFAULTS)
tokens: ContextVar[list[Token[Settings]]] = ContextVar("tokens")
tokens.set([])


def override(**changes: str) -> None:
    merged = {**DEFAULTS, **changes}  # LEAK
    tokens.get().append(settings.set(merged))  # LEAK


def restore() -> None:
    settings.reset(tokens.get().pop())


def money(cents: int) -> str:
    current = settings.get()
    point = "," if current["locale"] == "de" else "."
    return f"{cents // 100}{point}{cents % 100:02} {current['currency']}"


def render(account: int) -> str:
    override(locale="de" if account % 2 else "en", account=f"A-{account:07}")  # LEAK
    return "\n".join(money(account * n % 100_000) for n in range(150))


def step(i: int) -> int:
    return len(render(i))
