"""Every fiftieth request is an export, whose 64 KB buffer stays with the job record."""

from __future__ import annotations

import random

EXPECT = {
    "verdict": "leak",
    "sites": ["export", "__init__", "finish"],
    "owner": "JOBS.finished",
    "pattern": "registry",
    "habit": "append-only",
    "bytes_per_call": (1100, 1500),
}

RANDOM = random.Random(31)


class ExportJob:
    def __init__(self, number: int) -> None:
        self.number = number
        self.buffer = bytearray(64 * 1024)  # LEAK
        self.used = 0

    def write(self, text: str) -> None:
        data = text.encode()
        self.buffer[self.used : self.used + len(data)] = data
        self.used += len(data)


class Jobs:
    def __init__(self) -> None:
        self.finished: list[ExportJob] = []

    def finish(self, job: ExportJob) -> None:
        self.finished.append(job)  # LEAK


JOBS = Jobs()


def export(number: int) -> int:
    job = ExportJob(number)  # LEAK
    for line in range(200):
        job.write(f"{number};{line};{line * 3}\n")
    JOBS.finish(job)
    return job.used


def show_page(number: int) -> int:
    cells = [f"<td>{RANDOM.randrange(1000)}</td>" for _ in range(300)]
    return len("".join(cells)) + number


def step(i: int) -> int:
    return export(i) if i % 50 == 0 else show_page(i)
