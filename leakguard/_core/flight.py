"""The flight record of a process, ``leakguard.flight/1``, and what it proves later.

Rules of this file: pure. A record holds names and numbers and is of bounded size,
whatever the report in it holds; counters of control groups are compared only within
the same group of the same start of the machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from leakguard._core.coding import (
    SHOWN_CHARACTERS,
    decode_record,
    encode,
    encode_record,
)

# What the fields are made of is asked for when a record is read.
from leakguard._core.forecast import Forecast  # noqa: TC001
from leakguard._core.policy_table import Level  # noqa: TC001
from leakguard._core.pressure import Pressure  # noqa: TC001
from leakguard._core.records import LeakguardError, Report
from leakguard._core.units import format_bytes, format_ratio, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA = "leakguard.flight/1"
#: A record is at most so long, as JSON; one that is not is shortened until it is.
MOST_BYTES: Final = 64 * 1024
#: The kubelet reads so much of a termination message.
MOST_MESSAGE_BYTES: Final = 4096
MOST_CHARACTERS, MOST_ITEMS = 300, 60
#: How many suspects a record has, at first and when it is too long.
_SUSPECTS: Final = (10, 3, 1, 0)
_SIGKILL: Final = 9
_NAME: Final = re.compile(
    r"leakguard-flight-([0-9a-f]+|none)-([0-9]{1,18})-([0-9]{1,18})\.json(?:\.tmp)?"
)

Ended = Literal["oom-killed", "killed", "clean", "unknown"]


@dataclass(frozen=True, slots=True)
class Writer:
    """A process, told from all others by when it and its machine were started.

    ``started`` is in ticks of the machine's clock; ``boot`` are the first digits of
    what the kernel calls this start of the machine.
    """

    pid: int
    started: int | None
    boot: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """A control group, and how many of its processes were killed for memory so far."""

    inode: int
    oom_kills: int


@dataclass(frozen=True, slots=True)
class Point:
    """What counted against the limit, so many seconds before the record."""

    seconds_ago: float
    used_bytes: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the level of pressure, so many seconds before the record."""

    seconds_ago: float
    level: Level
    reason: str


@dataclass(frozen=True, slots=True)
class Flight:
    """What is known of a process at one moment of its life.

    ``up_seconds`` is of the machine's monotonic clock; ``groups`` begin with the
    process's own. ``ended`` is set when the process stops by itself.
    """

    at: str
    up_seconds: float
    writer: Writer
    level: Level
    pressure: Pressure
    forecast: Forecast
    groups: tuple[Group, ...]
    history: tuple[Point, ...]
    changes: tuple[Change, ...]
    report: Report | None
    ended: Literal["clean"] | None = None


def documents(flight: Flight) -> Iterator[dict[str, object]]:
    """Yield the record as a document to be written as JSON, then ever shorter ones."""
    for most in _SUSPECTS:
        report = flight.report
        if report is not None:
            report = replace(
                report,
                suspects=report.suspects[:most],
                acquitted=(),
                suppressed=report.suppressed[:most],
            )
        document = encode_record(replace(flight, report=None))
        document["report"] = None if report is None else encode(report)
        yield {"schema": SCHEMA, **_bounded_object(document)}


def from_document(document: object) -> Flight:
    """Return the record that a parsed document describes.

    Raises:
        LeakguardError: it is none, or one of another version.

    """
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        shown = ascii(schema)[:SHOWN_CHARACTERS]
        raise LeakguardError(f"schema: expected {SCHEMA!r}, found {shown}")
    return decode_record(Flight, document)


def _bounded_object(value: dict[str, object]) -> dict[str, object]:
    return {key: _bounded(inner) for key, inner in value.items()}


def _bounded(value: object) -> object:
    if isinstance(value, dict):
        return _bounded_object(value)
    if isinstance(value, list):
        return [_bounded(inner) for inner in value[:MOST_ITEMS]]
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2  # of a path both ends tell
        return f"{value[: half - 3]}...{value[-half:]}"
    return value


def name_of(writer: Writer) -> str:
    """Return the name of the process's file: no other process ever has the same."""
    boot, started = writer.boot or "none", writer.started or 0
    return f"leakguard-flight-{boot}-{writer.pid}-{started}.json"


def writer_of(name: str) -> Writer | None:
    """Return whose file has this name, finished or not; ``None`` if it is no record."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    boot, pid, started = found.groups()
    return Writer(int(pid), int(started) or None, None if boot == "none" else boot)


def recency(flight: Flight, boot: str | None) -> tuple[bool, float, str]:
    """Return what sorts records by their time, also when the clock has been set.

    Of this start of the machine the monotonic clock tells, of others the day's.
    """
    is_here = boot is not None and flight.writer.boot == boot
    return is_here, flight.up_seconds if is_here else 0.0, flight.at


def how_it_ended(
    flight: Flight,
    now: Sequence[Group],
    boot: str | None,
    exit_code: int | None = None,
) -> tuple[Ended, str]:
    """Return how a process that is no more has ended, and a sentence saying why.

    ``now`` are the groups of the asking process and ``boot`` its machine's start.
    ``exit_code`` is as a shell (137) or ``subprocess`` (-9) gives it.
    """
    ratio = format_ratio(flight.pressure.ratio)
    at = f"memory was at {ratio} of its limit at the last record"
    if flight.ended == "clean":
        return "clean", "it stopped by itself"
    if exit_code is not None and exit_code not in (128 + _SIGKILL, -_SIGKILL):
        return _by_its_status(exit_code)
    kills = None
    if boot is not None and boot == flight.writer.boot:
        kills = _kills_since(flight.groups, now)
    if kills is not None:
        return _by_its_group(*kills, at)
    if flight.level == "critical":
        surely = "probably" if exit_code is None else "very likely"
        return "oom-killed", (
            f"{surely} killed for lack of memory: {at}, and it left no mark of an end"
        )
    if exit_code is not None:
        return "killed", f"killed by SIGKILL, perhaps by the system's hand: {at}"
    return "unknown", f"it left no mark of an end, and nothing tells why: {at}"


def _by_its_status(exit_code: int) -> tuple[Ended, str]:
    if exit_code == 0:
        return "clean", "it left no mark of an end, and its exit status is 0"
    signal = -exit_code if exit_code < 0 else exit_code - 128
    if 0 < signal <= 64:
        return "killed", f"its exit status {exit_code} is that of signal {signal}"
    return "unknown", f"it ended by itself, with exit status {exit_code}"


def _by_its_group(kills: int, is_own: bool, at: str) -> tuple[Ended, str]:  # noqa: FBT001
    if not kills:
        return "killed", (
            "it left no mark of an end, and nothing was killed for lack of memory in"
            f" its control group: a signal, a crash or os._exit; {at}"
        )
    surely = "very likely" if is_own else "probably"
    group = "its control group" if is_own else "a control group around it"
    times = "once" if kills == 1 else f"{kills} times"
    return "oom-killed", (
        f"{surely} killed for lack of memory: since its last record the kernel did so"
        f" {times} in {group}, and it left no mark of an end; {at}"
    )


def _kills_since(
    before: Sequence[Group], now: Sequence[Group]
) -> tuple[int, bool] | None:
    """Return the kills in the innermost group that is still there, and if its own."""
    counts = {group.inode: group.oom_kills for group in now}
    for depth, group in enumerate(before):
        if group.inode in counts:
            return max(0, counts[group.inode] - group.oom_kills), depth == 0
    return None


def message_of(flight: Flight) -> bytes:
    """Return the record as some lines of text, for a container's termination log."""
    pressure, report = flight.pressure, flight.report
    share = f"{format_ratio(pressure.ratio)} of {format_bytes(pressure.limit_bytes)}"
    lines = [f"leakguard: memory at {share}, {flight.level}, at {flight.at}"]
    left = flight.forecast.time_to_limit_seconds
    if left is not None:
        lines.append(f"at the last rate the limit was {format_seconds(left)} away")
    if report is not None:
        lines.append(f"verdict: {report.verdict.kind}: {report.verdict.reason}")
        for suspect in report.suspects:
            site, owner = suspect.site, suspect.owner
            where = f"{site.file}:{site.line}" if site else suspect.type or "?"
            held = f", held by {owner.path}" if owner else ""
            lines.append(f"{suspect.rank}. {where}{held}: {suspect.hint}")
    text = "\n".join(str(_bounded(line)) for line in lines) + "\n"
    data = text.encode("utf-8", "replace")[:MOST_MESSAGE_BYTES]
    return data.decode("utf-8", "ignore").encode()  # no half a character at the end
