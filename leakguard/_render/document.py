"""A report as the JSON document ``leakguard.report/1``, in both directions.

Rules of this file: ``leakguard._core.coding`` says how records become JSON and what
is valid; the report inside a flight record is read as well.
"""

from __future__ import annotations

import json

from leakguard._core import flight
from leakguard._core.coding import SCHEMA, SHOWN_CHARACTERS, decode_record, encode
from leakguard._core.records import LeakguardError, Report

__all__ = ["SCHEMA", "decode", "dumps", "encode", "loads"]


def dumps(report: Report) -> str:
    """Return the document as indented ASCII text, without a newline at the end."""
    return json.dumps(encode(report), indent=2, allow_nan=False)


def loads(text: str | bytes) -> Report:
    """Return the report that the text of a document describes.

    Raises:
        LeakguardError: not JSON, not a report, or not of this version.

    """
    if not text.strip():
        raise LeakguardError("the report is empty")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise LeakguardError(
            f"the report is not a complete JSON document: "
            f"{error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    # Undecodable bytes, an endless number, brackets nested thousands deep.
    except (ValueError, RecursionError):
        raise LeakguardError("the report is not a JSON document") from None
    return decode(document)


def decode(document: object) -> Report:
    """Return the report that a parsed document describes.

    Raises:
        LeakguardError: with the place of what is wrong, ``suspects[0].site.line``.

    """
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(document, dict) and schema == flight.SCHEMA:
        return decode(document.get("report"))
    if schema is None:
        raise LeakguardError(f"this is not a report: it has no schema {SCHEMA!r}")
    if schema != SCHEMA:
        shown = ascii(schema)[:SHOWN_CHARACTERS]
        raise LeakguardError(
            f"schema: this leakguard reads {SCHEMA!r} and the report is {shown}"
        )
    return decode_record(Report, document)
