"""A binding declares a ``char *`` to be freed as ``c_char_p``, and loses the address.

ctypes copies the text into a ``bytes`` and forgets where it came from.
"""

from __future__ import annotations

import ctypes

EXPECT = {
    "verdict": "native-leak",
    "sites": ["label", "render"],
    "owner": None,
    "pattern": "native",
    "habit": "native-call",
    "c_function": "strdup",
    "bytes_per_call": (2000, 3500),
}

libc = ctypes.CDLL(None)
libc.strdup.restype = ctypes.c_char_p
libc.strdup.argtypes = [ctypes.c_char_p]


class Translator:
    def label(self, text: str) -> str:
        return libc.strdup(text.encode()).decode()  # LEAK

    def render(self, labels: list[str]) -> str:
        return " | ".join(self.label(label) for label in labels)  # LEAK


TRANSLATOR = Translator()


def step(i: int) -> int:
    labels = [f"label {i} {n} " + "-" * 600 for n in range(4)]
    return len(TRANSLATOR.render(labels))
