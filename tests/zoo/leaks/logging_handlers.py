"""Each job configures logging again: one more handler on the same logger."""

from __future__ import annotations

import io
import logging

EXPECT = {
    "verdict": "leak",
    "sites": ["configure", "__init__"],
    "owner": None,
    "pattern": "handler",
    "habit": "logging-handler",
    "bytes_per_call": (560, 2000),
}

log = logging.getLogger("zoo.jobs")
log.setLevel(logging.INFO)
log.propagate = False


class Job:
    def __init__(self, number: int) -> None:
        self.number = number
        self.trouble = io.StringIO()  # LEAK
        self.configure()

    def configure(self) -> None:
        handler = logging.StreamHandler(self.trouble)  # LEAK
        handler.setLevel(logging.ERROR)
        handler.setFormatter(  # LEAK
            logging.Formatter(f"job {self.number}: %(message)s")  # LEAK
        )
        log.addHandler(handler)  # LEAK

    def run(self) -> int:
        primes = [n for n in range(2, 600) if all(n % d for d in range(2, 24) if d < n)]
        log.info("found %d primes", len(primes))
        return len(primes)


def step(i: int) -> int:
    return Job(i).run()
