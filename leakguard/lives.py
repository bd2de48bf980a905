"""The face for what came before: how the last life of this program ended, and why.

Rules of this file: nothing raises for what is on disk; a record that cannot be read is
a life with that reason. Only what a process that is no more has left counts.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leakguard._core.flight import (
    Ended,
    Flight,
    from_document,
    how_it_ended,
    recency,
)
from leakguard._core.records import LeakguardError, Unknown
from leakguard._readers.lives import (
    is_alive,
    read_boot,
    read_groups,
    read_record,
    record_files,
)
from leakguard._runtime.monitor import process

if TYPE_CHECKING:
    from leakguard._core.flight import Change, Point
    from leakguard._core.forecast import Forecast
    from leakguard._core.policy_table import Level
    from leakguard._core.pressure import Pressure
    from leakguard._core.records import Report, Suspect, Verdict

__all__ = ["Life", "previous_life", "previous_lives"]


@dataclass(frozen=True, slots=True)
class Life:
    """A life that is over: how it ended, and its last words.

    ``ended`` is ``"oom-killed"``, ``"killed"``, ``"clean"`` or ``"unknown"``, and
    ``reason`` a phrase that says why, and how sure that is. ``record`` is the last one,
    or ``None`` where it cannot be read; what comes of it is ``None`` or empty then.
    """

    ended: Ended
    reason: str
    pid: int
    path: str
    record: Flight | None = None

    @property
    def at(self) -> str | None:
        """When the last record was written, as ``"2026-01-01T00:00:00Z"``."""
        return self.record.at if self.record else None

    @property
    def level(self) -> Level | None:
        """The level of pressure then."""
        return self.record.level if self.record else None

    @property
    def pressure(self) -> Pressure | None:
        """How near the limit was then."""
        return self.record.pressure if self.record else None

    @property
    def forecast(self) -> Forecast | None:
        """When the limit would have been hit."""
        return self.record.forecast if self.record else None

    @property
    def history(self) -> tuple[Point, ...]:
        """What counted against the limit, oldest first: ``seconds_ago, used_bytes``."""
        return self.record.history if self.record else ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes of level, oldest first: ``seconds_ago, level, reason``."""
        return self.record.changes if self.record else ()

    @property
    def oom_kills(self) -> int | None:
        """How many the kernel had killed in its control group until then."""
        groups = self.record.groups if self.record else ()
        return groups[0].oom_kills if groups else None

    @property
    def report(self) -> Report | None:
        """All that was known then."""
        return self.record.report if self.record else None

    @property
    def verdict(self) -> Verdict | None:
        """The kind of growth that was seen."""
        return self.report.verdict if self.report else None

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """What grew, the worst first."""
        return self.report.suspects if self.report else ()


def previous_life(
    directory: str | os.PathLike[str] | None = None, *, exit_code: int | None = None
) -> Life | None:
    """Return how the last process that kept its record in a directory has ended.

    ``directory`` is by default that of the process's guard. ``None`` is returned
    where there is no directory, or no record of a process that is no more. Ask soon
    after the start, for the kernel only counts kills, and does not name the killed.

    ``exit_code`` is that of the ended process, where it is known: ``137`` or ``-9`` for
    SIGKILL. Cost: some milliseconds.
    """
    found = _lives(directory, exit_code)
    return found[0] if found else None


def previous_lives(directory: str | os.PathLike[str] | None = None) -> tuple[Life, ...]:
    """Return all lives that left a record, the last one first; siblings are among them.

    Records that cannot be read come last. Cost: some milliseconds.
    """
    return tuple(_lives(directory, None))


def _lives(
    directory: str | os.PathLike[str] | None, exit_code: int | None
) -> list[Life]:
    if directory is None:
        monitor = process().monitor
        directory = monitor.options.flight_record if monitor is not None else None
    if directory is None:
        return []
    boot, groups = read_boot(), read_groups()
    where, found, broken = Path(os.fsdecode(directory)), [], []
    try:
        files = list(record_files(str(where)))
    except (OSError, ValueError):  # there never was a record
        files = []
    for name, writer in files:
        if name.endswith(".tmp") or is_alive(writer, boot):
            continue
        path = str(where / name)
        record = _read(path)
        if isinstance(record, Unknown):
            broken.append(Life("unknown", record.reason, writer.pid, path))
        else:
            ended, reason = how_it_ended(record, groups, boot, exit_code)
            life = Life(ended, reason, writer.pid, path, record)
            found.append((recency(record, boot), life))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [life for _, life in found] + broken


def _read(path: str) -> Flight | Unknown:
    data = read_record(path)
    if isinstance(data, Unknown):
        return Unknown(f"its record cannot be read: {data.reason}")
    try:
        return from_document(json.loads(data))
    except LeakguardError as error:
        return Unknown(f"its record cannot be read: {error}")
    except (ValueError, RecursionError):
        return Unknown("its record cannot be read: it is not a JSON document")
