# SPDX-License-Identifier: Apache-2.0
"""Figures side by side: rounds in turn, minima, medians, and ratios with their uncertainty."""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_RESAMPLES = 2_000


@dataclass(frozen=True)
class Figures:
    """What was measured of one thing, one value a round, all in one unit."""

    values: tuple[float, ...]

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Ratio:
    """Of two medians; `low` to `high`: 95 % of it, by the bootstrap (Efron 1979)."""

    value: float
    low: float
    high: float


def measure(
    things: Mapping[str, Callable[[], float]], rounds: int, *, warm: int = 1
) -> dict[str, Figures]:
    """Each thing once a round, in turn and each round in another order: what disturbs the machine
    disturbs all. The first `warm` rounds do not count. Tells on stderr how far it is."""
    values: dict[str, list[float]] = {name: [] for name in things}
    order, began = list(things), time.monotonic()
    chance = random.Random(1)
    for number in range(-warm, rounds):
        chance.shuffle(order)
        for name in order:
            value = things[name]()
            if number >= 0:
                values[name].append(value)
        _progress(number + 1, rounds, began)
    return {name: Figures(tuple(found)) for name, found in values.items()}


def ratio(one: Figures, other: Figures) -> Ratio:
    """`one` to `other`, whose rounds belong together."""
    chance = random.Random(1)
    pairs = list(zip(one.values, other.values, strict=True))
    found = sorted(_ratio(chance.choices(pairs, k=len(pairs))) for _ in range(_RESAMPLES))
    cut = round(_RESAMPLES * 0.025)
    return Ratio(_ratio(pairs), found[cut], found[-cut - 1])


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    below = statistics.median(other for _, other in pairs)
    return statistics.median(one for one, _ in pairs) / below if below else float("nan")


def _progress(done: int, rounds: int, began: float) -> None:
    if sys.stderr.isatty():
        print(
            f"\r{max(done, 0)}/{rounds} rounds, {time.monotonic() - began:.0f} s ",
            end="",
            file=sys.stderr,
        )
        if done == rounds:
            print(file=sys.stderr)
