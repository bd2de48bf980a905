"""From one line of a memory log to its rows: container, time, and what was measured.

Rules of this file: tables, CSV and JSON differ in how cells are parted, not in what
their columns are called, so one table of names serves all three. A line nobody can
read is ``None``; a line that says "no measurement" is a row without values.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from leakguard._core.logs_text import (
    SIZE,
    read_number,
    read_size,
    read_stamp,
    split_stamp,
)
from leakguard._core.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: The fields of a sample after its time, in their order.
FIELDS = Sample._fields[1:]
Values = tuple[int | None, ...]


class Row(NamedTuple):
    """One container at one time; no values where nothing was measured."""

    name: str = ""
    stamp: float | None = None
    values: Values | None = None


class Header(NamedTuple):
    """How a table parts its cells, and what its columns mean (empty: unknown)."""

    delimiter: str
    columns: tuple[str, ...]


_OTHER_NAMES = {
    "time": "time timestamp t ts date datetime tseconds",
    "name": "name",
    "container": "container containername",
    "pod": "pod podname",
    "namespace": "namespace",
    "id": "containerid id",
    "usage": "memusage memusagelimit memory memorybytes memoryusage mem "
    "privworkingset containermemoryusagebytes containermemoryworkingsetbytes",
    "rss_bytes": "rss processresidentmemorybytes",
}
_COLUMNS = {name.replace("_", ""): name for name in FIELDS} | {
    alias: column for column, names in _OTHER_NAMES.items() for alias in names.split()
}
_MEMORY = {"usage", *(name for name in FIELDS if name.endswith("_bytes"))} - {
    "cgroup_limit_bytes",
    "cgroup_inactive_file_bytes",
}

_TABLE = re.compile(r"\t|\s{2,}")
_UNKNOWN_TABLE = re.compile(r"MEM USAGE|MEMORY\(bytes\)")
_NOTHING = re.compile(r"--\s*/\s*--")
_PAIR = re.compile(rf"({SIZE})\s*/\s*({SIZE})")
_NOISE = re.compile(rf"{_PAIR.pattern}|{_NOTHING.pattern}|[0-9.]{{1,20}}\s?%|{SIZE}")
_WORD = re.compile(r"[A-Za-z0-9][\w.-]{0,199}")
_ID = re.compile(r"[0-9a-f]{12}(?:[0-9a-f]{52})?")
_KUBECTL = re.compile(rf"((?:\S+\s+){{1,3}})[0-9]{{1,9}}m?\s+({SIZE})")
_NAMED = re.compile(rf"([A-Za-z0-9][^\s:=,]{{0,199}})[\s:=,]+({SIZE})")
#: The kernel's own lists: their kB are 1024 bytes (man 5 proc).
_PROC = re.compile(r"(?:VmRSS|Rss):\s*([0-9]{1,15}) kB")


def parse_line(
    line: str, header: Header | None, decode_json: Callable[[str], object]
) -> list[Row] | Header | float | None:
    """Return the rows of a line, the header or the time it is, or ``None``.

    A time on a line of its own is that of the lines below it.
    """
    if header and header.delimiter and (row := _table_row(line, header)):
        return [row]
    stamp, rest = split_stamp(line)
    if stamp is not None and not rest:
        return stamp
    found = _unstamped(rest, header, decode_json)
    if stamp is None or not isinstance(found, list):
        return found
    return [
        row if row.stamp is not None else row._replace(stamp=stamp) for row in found
    ]


def _unstamped(
    line: str, header: Header | None, decode_json: Callable[[str], object]
) -> list[Row] | Header | None:
    if line[:1] in {"{", "["}:
        return _json_rows(line, decode_json)
    row = _table_row(line, header) if header else None
    if row is None and (found := _header(line)):
        return found
    if row is None and not (header and _spoils(line, header)):
        row = _bare_row(line)
    return [row] if row else None


def _header(line: str) -> Header | None:
    for delimiter in (",", ";", "\t", ""):
        cells = _cells(line, delimiter)
        columns = tuple(_COLUMNS.get(_bare(cell), "") for cell in cells)
        if not _MEMORY.isdisjoint(columns) and not any(c[:1].isdigit() for c in cells):
            return Header(delimiter, columns)
    return Header("", ()) if _UNKNOWN_TABLE.search(line) else None


def _cells(line: str, delimiter: str) -> list[str]:
    if not delimiter:
        return _TABLE.split(line.strip())
    return [cell.strip().strip("\"'") for cell in line.split(delimiter)]


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9%]", "", name.lower())  # "MEM %" is not "MEM"


def _table_row(line: str, header: Header) -> Row | None:
    cells = _cells(line, header.delimiter)
    if len(cells) != len(header.columns):
        return None
    return _row(dict(zip(header.columns, cells, strict=True)))


def _spoils(line: str, header: Header) -> bool:
    """Return whether a line that is no row of the table is one gone wrong."""
    cells = len(_cells(line, header.delimiter))
    is_number = read_number(line) is not None
    return bool(header.delimiter) or is_number or cells == len(header.columns) > 1


def _json_rows(line: str, decode_json: Callable[[str], object]) -> list[Row] | None:
    try:
        found = decode_json(line)
    except (ValueError, RecursionError):
        return None
    entries = found if isinstance(found, list) else [found]
    rows = [_row(_flat(entry)) for entry in entries if isinstance(entry, dict)]
    return [row for row in rows if row] or None


def _flat(entry: Mapping[object, object]) -> dict[str, str]:
    """Return the cells of an object and of those right inside it, by column."""
    cells: dict[str, str] = {}
    inner = [value for value in entry.values() if isinstance(value, dict)]
    for key, value in chain(entry.items(), *(each.items() for each in inner)):
        if isinstance(value, (dict, list)):
            continue
        text = "" if value is None else str(value)
        column = _COLUMNS.get(_bare(str(key)), "")
        if column:
            cells.setdefault(column, text)
        elif _PAIR.fullmatch(text) and "i" in text:  # traffic is printed in decimals
            cells.setdefault("usage", text)
    return cells


def _row(cells: Mapping[str, str]) -> Row | None:
    """Return the row of the cells of known columns; ``None`` if they make no sense."""
    if _MEMORY.isdisjoint(cells):
        return None
    stamp = read_stamp(cells.get("time", ""))
    if stamp is None and cells.get("time"):
        return None
    values: dict[str, int | None] = {}
    for column, text in cells.items():
        if column in FIELDS and text:
            values[column] = read_number(text)
            if values[column] is None:
                values[column] = read_size(text)
            if values[column] is None:
                return None
    usage = cells.get("usage", "")
    if usage and not _NOTHING.fullmatch(usage) and usage != "--":
        measured = _usage(usage)
        if measured is None:
            return None
        values |= measured
    return Row(_name(cells), stamp, _values(values))


def _values(values: Mapping[str, int | None]) -> Values | None:
    if all(values.get(name) is None for name in _MEMORY if name != "usage"):
        return None
    return tuple(values.get(name) for name in FIELDS)


def _usage(text: str) -> dict[str, int | None] | None:
    """Return what ``USAGE / LIMIT`` or a size says; nothing for a stopped container."""
    pair = _PAIR.fullmatch(text.strip())
    used = read_size(pair[1] if pair else text)
    if used is None:
        return None
    if not used:
        return {}
    limit = read_size(pair[2]) if pair else None
    return {"cgroup_usage_bytes": used, "cgroup_limit_bytes": limit or None}


def _name(cells: Mapping[str, str]) -> str:
    """Return ``namespace/pod/name`` of what there is; docker's ``--`` is nothing."""
    told = {who: text for who, text in cells.items() if text not in {"", "--"}}
    own = told.get("name") or told.get("container") or told.get("id", "")
    return "/".join(filter(None, (told.get("namespace"), told.get("pod"), own)))


def _bare_row(line: str) -> Row | None:
    """Return the row of a line without a header: a template's, or a plain size."""
    line = line.strip()
    pairs = [match.group() for match in _PAIR.finditer(line)]
    if pairs:
        # Memory is printed in binary units, network and disk in decimal ones.
        usage = next((pair for pair in pairs if "i" in pair), pairs[0])
        return Row(_first_name(line), None, _values(_usage(usage) or {}))
    if _NOTHING.search(line):
        return Row(_first_name(line))
    if match := _PROC.fullmatch(line):
        return _sized("", f"{match[1]} KiB", "rss_bytes")
    if match := _KUBECTL.fullmatch(line) or _NAMED.fullmatch(line):
        return _sized("/".join(match[1].split()), match[2], "cgroup_usage_bytes")
    return _sized("", line, "rss_bytes")


def _sized(name: str, text: str, column: str) -> Row | None:
    size = read_size(text)
    if size is None:
        return None
    return Row(name, None, _values({column: size or None}))


def _first_name(line: str) -> str:
    """Return the first word that is no label, and an id only if there is no other."""
    words = _words(_WORD.findall(_NOISE.sub(" ", line)))
    return next((word for word in words if not _ID.fullmatch(word)), "".join(words[:1]))


def _words(found: Iterable[str]) -> Sequence[str]:
    return [
        word
        for word in found
        if _bare(word) not in _COLUMNS and not word.replace(".", "").isdigit()
    ]
