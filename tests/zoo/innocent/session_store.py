"""Users log in and out at random: the store breathes around 300 sessions."""

from __future__ import annotations

import random

EXPECT = {"verdict": {"steady", "load", "cache"}}

RANDOM = random.Random(300)


class Session:
    def __init__(self, user: int) -> None:
        self.user = user
        self.pages: list[str] = []

    def visit(self, page: str) -> None:
        self.pages.append(page)
        del self.pages[:-20]


class SessionStore:
    def __init__(self) -> None:
        self.sessions: dict[int, Session] = {}

    def log_in(self, user: int) -> None:
        self.sessions[user] = Session(user)

    def log_out(self, user: int) -> None:
        del self.sessions[user]


STORE = SessionStore()


def step(i: int) -> int:
    users = list(STORE.sessions)
    # The more are here, the more leave: the mean is where both rates meet.
    if RANDOM.random() < len(users) / 600:
        STORE.log_out(RANDOM.choice(users))
    else:
        STORE.log_in(i)
    for user in RANDOM.sample(users, min(5, len(users))):
        if user in STORE.sessions:
            STORE.sessions[user].visit(f"/page/{RANDOM.randrange(100)}")
    return len(STORE.sessions)
