# SPDX-License-Identifier: Apache-2.0
"""How one thing does beside another, and how sure that is: bootstrap intervals (Efron, 1979)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RESAMPLES = 10_000
_OUTSIDE_PERCENT = 2.5  # on either side: 95 % are within
_SEED = 1


class Interval(NamedTuple):
    """The median of ratios between the ends of its 95 % interval."""

    low: float
    median: float
    high: float


def ratio(a: Sequence[float], b: Sequence[float]) -> Interval:
    """The median over the rounds of `a` by `b` of the same round, with its bootstrap interval:
    rounds are drawn with replacement, and the seed is always the same.

    Raises ValueError if they have not as many rounds, or none."""
    import numpy as np

    if len(a) != len(b) or not a:
        raise ValueError(f"{len(a)} and {len(b)} rounds have no ratios")
    ratios = np.array(a) / np.array(b)
    return _interval(np.median(_drawn(ratios, _SEED), axis=1), float(np.median(ratios)))


def ratio_of_medians(a: Sequence[float], b: Sequence[float]) -> Interval:
    """The median of `a` by the median of `b`, which were measured at different times: rounds of
    either are drawn for themselves. Raises ValueError if either has none."""
    import numpy as np

    if not a or not b:
        raise ValueError(f"{len(a)} and {len(b)} rounds have no ratio")
    above = np.median(_drawn(np.array(a), _SEED), axis=1)
    below = np.median(_drawn(np.array(b), _SEED + 1), axis=1)
    return _interval(above / below, float(np.median(a) / np.median(b)))


def _drawn(values: "NDArray[Any]", seed: int) -> "NDArray[Any]":
    import numpy as np

    return np.random.default_rng(seed).choice(values, (_RESAMPLES, len(values)))


def _interval(found: "NDArray[Any]", middle: float) -> Interval:
    import numpy as np

    low, high = np.percentile(found, [_OUTSIDE_PERCENT, 100.0 - _OUTSIDE_PERCENT])
    return Interval(float(low), middle, float(high))
