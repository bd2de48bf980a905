"""Format handlers import their standard-library module on first use."""

from __future__ import annotations

import importlib
from types import ModuleType

EXPECT = {"verdict": {"steady", "cache"}}

NAMES = """
csv configparser plistlib html.parser xml.etree.ElementTree xml.sax
email.message email.parser mailbox mimetypes quopri zipfile tarfile gzip bz2
lzma sqlite3 difflib pprint shlex fractions statistics decimal calendar gettext
wave colorsys imaplib smtplib http.client http.cookies
"""
MODULES = NAMES.split()


class Handlers:
    def __init__(self) -> None:
        self.loaded: dict[str, ModuleType] = {}

    def get(self, name: str) -> ModuleType | None:
        if name not in self.loaded:
            try:
                self.loaded[name] = importlib.import_module(name)
            except ImportError:
                return None
        return self.loaded[name]

    def describe(self, name: str) -> int:
        module = self.get(name)
        public = [n for n in dir(module) if not n.startswith("_")]
        return len(", ".join(public))


HANDLERS = Handlers()


def step(i: int) -> int:
    return HANDLERS.describe(MODULES[i % len(MODULES)])
