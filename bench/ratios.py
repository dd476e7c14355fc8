# SPDX-License-Identifier: Apache-2.0
"""How one thing does beside another, round by round, and how sure that is."""

from typing import NamedTuple

import numpy as np

from bench.rounds import Figures

_RESAMPLES = 10_000
_OUTSIDE_PERCENT = 2.5  # on either side: 95 % are within
_SEED = 1


class Interval(NamedTuple):
    """The median of ratios between the ends of its 95 % interval."""

    low: float
    median: float
    high: float


def ratio(a: Figures, b: Figures) -> Interval:
    """The median over the rounds of `a` by `b` of the same round, with its bootstrap interval:
    rounds are drawn with replacement, and the seed is always the same.

    Raises ValueError if they have not as many rounds, or none."""
    if len(a.values) != len(b.values) or not a.values:
        raise ValueError(f"{len(a.values)} and {len(b.values)} rounds have no ratios")
    ratios = np.array(a.values) / np.array(b.values)
    chance = np.random.default_rng(_SEED)
    drawn = chance.choice(ratios, (_RESAMPLES, len(ratios)))
    low, high = np.percentile(
        np.median(drawn, axis=1), [_OUTSIDE_PERCENT, 100.0 - _OUTSIDE_PERCENT]
    )
    return Interval(float(low), float(np.median(ratios)), float(high))
