"""Tasks for a real worker of Celery, over a broker of files; see ``served``."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery
from celery.signals import worker_process_init

from tests.faces.served import SERVED, grow, guard

TASK_SECONDS = 0.1
DONE = SERVED / "done"

for name in ("queue", "control"):
    (SERVED / name).mkdir(exist_ok=True)
app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(SERVED / "queue"),
        "data_folder_out": str(SERVED / "queue"),
        "control_folder": str(SERVED / "control"),
        "polling_interval": 0.05,
    },
    broker_connection_retry_on_startup=True,
    worker_max_memory_per_child=1 << 30,  # in KiB: never by itself
    worker_prefetch_multiplier=1,
)


@worker_process_init.connect
def start(**_: object) -> None:
    guard.start()


@app.task
def work(number: int, growing: int) -> None:
    """Do a unit of work, note it, and grow by the way if it is the one to."""
    time.sleep(TASK_SECONDS)
    if number == growing:
        grow()
    with Path(DONE).open("a", encoding="ascii") as done:
        done.write(f"{number} {os.getpid()}\n")
