# SPDX-License-Identifier: Apache-2.0
"""Figures side by side: rounds in turn, minima and medians."""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """What was measured of one thing, one value a round, all in one unit."""

    values: tuple[float, ...]

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def measure(
    things: Mapping[str, Callable[[], float]], rounds: int, *, warm: int = 1
) -> dict[str, Figures]:
    """Each thing once a round, in turn and each round in another order: what disturbs the machine
    disturbs all. The first `warm` rounds do not count. Tells on stderr how far it is."""
    several = {name: _as_several(thing) for name, thing in things.items()}
    found = measure_several(several, rounds, warm=warm)
    return {name: figures[""] for name, figures in found.items()}


def measure_several(
    things: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int, *, warm: int = 1
) -> dict[str, dict[str, Figures]]:
    """As `measure`, where a thing finds several figures at once, each under its name."""
    values: dict[str, list[Mapping[str, float]]] = {name: [] for name in things}
    order, began = list(things), time.monotonic()
    chance = random.Random(1)
    for number in range(-warm, rounds):
        chance.shuffle(order)
        for name in order:
            found = things[name]()
            if number >= 0:
                values[name].append(found)
        _progress(number + 1, rounds, began)
    return {
        name: {key: Figures(tuple(one[key] for one in found)) for key in found[0]}
        for name, found in values.items()
    }


def _as_several(thing: Callable[[], float]) -> Callable[[], Mapping[str, float]]:
    return lambda: {"": thing()}


def _progress(done: int, rounds: int, began: float) -> None:
    if sys.stderr.isatty():
        print(
            f"\r{max(done, 0)}/{rounds} rounds, {time.monotonic() - began:.0f} s ",
            end="",
            file=sys.stderr,
        )
        if done == rounds:
            print(file=sys.stderr)
