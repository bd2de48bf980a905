"""A webhook consumer de-duplicates deliveries with a set of all ids ever seen."""

from __future__ import annotations

import hashlib
import hmac
import json
import random

EXPECT = {
    "verdict": "leak",
    "sites": ["accept", "is_duplicate", "delivery", "step"],
    "owner": "CONSUMER._seen",
    "pattern": "unbounded-cache",
    "habit": "seen-set",
    "bytes_per_call": (72, 270),
}

RANDOM = random.Random(23)
SECRET = b"whsec-zoo"


def sign(raw: str) -> str:
    return hmac.new(SECRET, raw.encode(), hashlib.sha256).hexdigest()


def delivery() -> tuple[str, str]:
    body = {
        "id": f"evt_{RANDOM.getrandbits(128):032x}",
        "kind": "invoice.paid",
        "amount": RANDOM.randrange(10_000),
    }
    raw = json.dumps(body)
    return raw, sign(raw)


class WebhookConsumer:
    def __init__(self) -> None:
        self._seen: set[str] = set()
        self.total = 0

    def is_duplicate(self, event_id: str) -> bool:
        if event_id in self._seen:
            return True
        self._seen.add(event_id)  # LEAK
        return False

    def accept(self, raw: str, signature: str) -> None:
        if not hmac.compare_digest(sign(raw), signature):
            return
        event = json.loads(raw)  # LEAK
        if not self.is_duplicate(event["id"]):
            self.total += event["amount"]


CONSUMER = WebhookConsumer()


def step() -> int:
    CONSUMER.accept(*delivery())
    return CONSUMER.total
