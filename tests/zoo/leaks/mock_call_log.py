"""A ``Mock`` stands in for the mail client in staging, and records all its calls."""

from __future__ import annotations

from unittest.mock import Mock

EXPECT = {
    "verdict": "leak",
    "sites": ["sign_up", "newsletter", "step"],
    "owner": "mailer",
    "pattern": "registry",
    "habit": "mock-calls",
    "bytes_per_call": (1000, 4400),
}

mailer = Mock()


class Accounts:
    def __init__(self) -> None:
        self.size = 0

    def sign_up(self, address: str) -> None:
        self.size += 1
        mailer.send(to=address, subject="Welcome", body=newsletter(self.size))  # LEAK


def newsletter(number: int) -> str:
    paragraphs = [f"Paragraph {n} of issue {number}." for n in range(20)]
    return "\n\n".join(paragraphs)  # LEAK


ACCOUNTS = Accounts()


def step(i: int) -> int:
    ACCOUNTS.sign_up(f"user{i}@example.org")  # LEAK
    return ACCOUNTS.size + len(sorted(newsletter(i) * 12))
