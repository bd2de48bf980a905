"""Converters of option values for argparse: each error is one clear sentence."""

from __future__ import annotations

import argparse

from leakguard._core.records import LeakguardError
from leakguard._core.units import parse_bytes, parse_seconds

_PERCENT = 100


def seconds(text: str) -> float:
    """Return a duration above zero: ``30``, ``"90s"``, ``"1h30m"``."""
    try:
        found = parse_seconds(text)
    except LeakguardError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not found:
        raise argparse.ArgumentTypeError("it has to be longer than zero")
    return found


def size(text: str) -> int:
    """Return a size above zero in bytes: ``"512MiB"``, ``"1.5 GB"``."""
    try:
        found = parse_bytes(text)
    except LeakguardError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not found:
        raise argparse.ArgumentTypeError("it has to be more than zero")
    return found


def count(text: str) -> int:
    """Return a whole number above zero."""
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def share(text: str) -> float:
    """Return a share between 0 and 1, given as ``0.05`` or ``"5%"``."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        found = float(number) / (_PERCENT if percent else 1)
    except ValueError:
        found = -1.0
    if not 0 < found <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 0.05 or 5%")
    return found
