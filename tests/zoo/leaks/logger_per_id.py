"""One logger per device id: loggers are never forgotten by the logging module."""

from __future__ import annotations

import logging

EXPECT = {
    "verdict": "leak",
    "sites": ["__init__", "connect", "poll"],
    "owner": "manager.loggerDict",
    "pattern": "handler",
    "habit": "logger-per-object",
    "bytes_per_call": (340, 1100),
}

log = logging.getLogger("zoo.devices")
log.addHandler(logging.NullHandler())


class Device:
    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.log = logging.getLogger(f"zoo.devices.{serial}")  # LEAK
        self.registers = [0] * 64

    def poll(self, tick: int) -> int:
        for n in range(len(self.registers)):
            self.registers[n] = (self.registers[n] * 31 + tick + n) & 0xFFFF
        self.log.debug("polled at %d", tick)  # LEAK
        return sum(self.registers)


def connect(number: int) -> Device:
    return Device(f"SN{number:010}")  # LEAK


def step(i: int) -> int:
    device = connect(i)
    return sum(device.poll(i + n) for n in range(20))
