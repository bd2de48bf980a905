"""Pages are built by joining, concatenating and replacing strings."""

from __future__ import annotations

import html
import textwrap

EXPECT = {"verdict": {"steady"}}

LAYOUT = "<html><head><title>%TITLE%</title></head><body>%BODY%</body></html>"


class Page:
    def __init__(self, title: str) -> None:
        self.title = title
        self.body = ""

    def paragraph(self, text: str) -> None:
        self.body += "<p>" + html.escape(text) + "</p>\n"

    def render(self) -> str:
        page = LAYOUT.replace("%TITLE%", html.escape(self.title))
        return page.replace("%BODY%", textwrap.indent(self.body, "  "))


def step(i: int) -> int:
    page = Page(f"Page <{i}>")
    for n in range(25):
        page.paragraph(" & ".join(f"word{i * n % 100}" for _ in range(12)))
    return len(page.render())
