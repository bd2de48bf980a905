"""``functools.cache`` on a method: the cache's key holds ``self``, one per request.

Every session object, with its granted roles, lives as long as the class.
"""

from __future__ import annotations

import functools

EXPECT = {
    "verdict": "leak",
    "sites": ["__init__", "permissions", "may", "handle"],
    "owner": "Session.permissions",
    "pattern": "unbounded-cache",
    "habit": "lru-cache-on-method",
    "bytes_per_call": (1700, 5300),
}

ROLES = {
    "viewer": ["read"],
    "editor": ["read", "write", "publish"],
    "admin": ["read", "write", "publish", "delete", "grant"],
}


class Session:
    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.roles = list(ROLES)[: user_id % 3 + 1]  # LEAK
        self.attributes = {f"attr{n}": user_id * n for n in range(12)}  # LEAK

    @functools.cache  # noqa: B019
    def permissions(self, area: str) -> frozenset[str]:
        return frozenset(  # LEAK
            f"{area}:{verb}"  # LEAK
            for role in self.roles
            for verb in ROLES[role]  # LEAK
        )

    def may(self, area: str, verb: str) -> bool:
        return f"{area}:{verb}" in self.permissions(area)  # LEAK


def render_menu(session: Session) -> str:
    items = []
    for n in range(120):
        area = ("blog", "shop")[n % 2]
        if session.may(area, "write"):
            items.append(f"<li>{area} {n}</li>")
    return "".join(items)


def handle(user_id: int) -> int:
    session = Session(user_id)  # LEAK
    return sum(len(render_menu(session)) for _ in range(6))


def step(i: int) -> int:
    return handle(i)
