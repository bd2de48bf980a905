"""A signal recorder appends samples to ``array.array`` columns, one per channel."""

from __future__ import annotations

import math
from array import array

EXPECT = {
    "verdict": "leak",
    "sites": ["record", "measure", "step"],
    "owner": "RECORDER.channels",
    "pattern": "other",
    "habit": "growing-buffer",
    "bytes_per_call": (770, 2300),
}


class Recorder:
    def __init__(self, channels: int) -> None:
        self.channels = [array("d") for _ in range(channels)]

    def record(self, channel: int, samples: list[float]) -> None:
        self.channels[channel].extend(samples)  # LEAK

    def peak(self, channel: int) -> float:
        return max(self.channels[channel][-200:])


RECORDER = Recorder(channels=4)


def measure(tick: int, channel: int) -> list[float]:
    phase = tick * 0.1 + channel
    raw = [math.sin(phase + n / 320) * math.exp(-n / 900) for n in range(320)]
    return raw[::8]


def step(i: int) -> float:
    peaks = []
    for channel in range(4):
        RECORDER.record(channel, measure(i, channel))  # LEAK
        peaks.append(RECORDER.peak(channel))
    return sum(peaks)
