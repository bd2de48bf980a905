"""A job runner hands each job its settings in environment variables of its own name.

They are set past ``os.environ``, so only the C library knows that they are there.
"""

from __future__ import annotations

import os

EXPECT = {
    "verdict": "native-leak",
    "sites": ["export", "run"],
    "owner": None,
    "pattern": "native",
    "habit": "native-call",
    "c_function": "putenv",
    "bytes_per_call": (400, 3000),
}


class Runner:
    def export(self, job: int, settings: str) -> None:
        os.putenv(f"JOB_{job}_SETTINGS", settings)  # LEAK

    def run(self, job: int) -> int:
        settings = ",".join(f"{job * n % 1009}" for n in range(130))
        self.export(job, settings)
        return len(settings)


RUNNER = Runner()


def step(i: int) -> int:
    return RUNNER.run(i)
