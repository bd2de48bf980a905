"""A simulation with two lists that swap roles in each round."""

from __future__ import annotations

import random

EXPECT = {"verdict": {"steady"}}

RANDOM = random.Random(32)


class Particle:
    __slots__ = ("position", "speed")

    def __init__(self, position: float, speed: float) -> None:
        self.position = position
        self.speed = speed


class Simulation:
    def __init__(self, size: int) -> None:
        self.front = [
            Particle(RANDOM.random() * 100, RANDOM.uniform(-1, 1)) for _ in range(size)
        ]
        self.back: list[Particle] = []

    def advance(self) -> None:
        self.back.clear()
        for particle in self.front:
            position = (particle.position + particle.speed) % 100
            self.back.append(Particle(position, particle.speed))
        self.front, self.back = self.back, self.front

    def centre(self) -> float:
        return sum(p.position for p in self.front) / len(self.front)


SIMULATION = Simulation(size=300)


def step() -> float:
    SIMULATION.advance()
    return SIMULATION.centre()
