"""A chat room that never forgets a message, although only the last 50 are shown."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

EXPECT = {
    "verdict": "leak",
    "sites": ["post", "compose"],
    "owner": "ROOM.history",
    "pattern": "registry",
    "habit": "append-only",
    "bytes_per_call": (180, 630),
}

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel")
RANDOM = random.Random(5)


@dataclass
class Message:
    author: str
    text: str
    number: int
    tags: list[str] = field(default_factory=list)


class Room:
    def __init__(self) -> None:
        self.history: list[Message] = []

    def post(self, author: str, text: str) -> Message:
        message = Message(author, text, len(self.history))  # LEAK
        self.history.append(message)  # LEAK
        return message

    def recent(self, limit: int = 50) -> list[str]:
        return [f"<{m.author}> {m.text}" for m in self.history[-limit:]]


ROOM = Room()


def compose() -> str:
    return " ".join(RANDOM.choice(WORDS) for _ in range(12))  # LEAK


def step() -> int:
    ROOM.post(RANDOM.choice(("ann", "bob", "cleo")), compose())
    lines = ROOM.recent()
    return sum(line.count(letter) for line in lines for letter in "aeiou")
