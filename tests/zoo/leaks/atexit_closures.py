"""Every temporary workspace registers its own clean-up with ``atexit``."""

from __future__ import annotations

import atexit
import textwrap

EXPECT = {
    "verdict": "leak",
    "sites": ["create", "write", "__init__", "draft", "step"],
    "owner": None,
    "pattern": "listener",
    "habit": "at-exit",
    "bytes_per_call": (2000, 5900),
}

PARAGRAPH = "A workspace holds drafts until they are published or thrown away. " * 12


class Workspace:
    def __init__(self, name: str) -> None:
        self.name = name
        self.files: dict[str, str] = {}  # LEAK

    @classmethod
    def create(cls, name: str) -> Workspace:
        workspace = cls(name)  # LEAK
        atexit.register(lambda: workspace.files.clear())  # LEAK
        return workspace

    def write(self, path: str, text: str) -> None:
        self.files[path] = text  # LEAK


def draft(number: int) -> str:
    lines = textwrap.wrap(PARAGRAPH, width=40 + number % 30)
    return "\n".join(f"> {line}" for line in lines)  # LEAK


def step(i: int) -> int:
    workspace = Workspace.create(f"draft-{i}")  # LEAK
    for n in range(3):
        workspace.write(f"part{n}.md", draft(i + n))  # LEAK
    return sum(map(len, workspace.files.values()))
