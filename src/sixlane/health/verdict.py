# SPDX-License-Identifier: Apache-2.0
"""What a row of results says of a backend: rise and fall, and damping of those that flap. Pure.

A backend that falls again and again does more harm each time than one that stays away. As in route
flap damping (RFC 2439 4.2), each fall adds to a penalty, which decays by halves; above a limit the
backend is damped: it stays quarantined, however well its checks go, until the penalty is below
another one.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

Word = Literal["unknown", "well", "quarantined"]

FALL_PENALTY = 1.0
DAMPED_ABOVE = 2.5
FREE_BELOW = 0.75
HIGHEST_PENALTY = 4.0
"""So that nobody is damped for longer than log2(4 / 0.75) = 2.4 half-lives (RFC 2439's ceiling)."""

_HALF_LIFE_INTERVALS = 24
_LONGEST_HALF_LIFE_S = 600.0


@dataclass(frozen=True)
class Rules:
    """So many results in a row change the verdict; the penalty is half as high after that time."""

    rise: int
    fall: int
    half_life_s: float

    @classmethod
    def of(cls, rise: int, fall: int, interval_s: float) -> "Rules":
        """The half-life counts in intervals: with seldom checks, flapping takes longer, too."""
        return cls(rise, fall, min(_HALF_LIFE_INTERVALS * interval_s, _LONGEST_HALF_LIFE_S))


@dataclass(frozen=True)
class Verdict:
    """`since`: when the word became what it is; `row`: how many results of one kind came last,
    below 0: failures. `penalty`: as of `at`. Times are of one clock, in seconds."""

    word: Word
    since: float
    row: int = 0
    penalty: float = 0.0
    at: float = 0.0
    damped: bool = False
    changes: int = 0

    def penalty_at(self, now: float, half_life_s: float) -> float:
        return self.penalty * math.exp2(-max(0.0, now - self.at) / half_life_s)


def judge(before: Verdict, is_well: bool, rules: Rules, now: float) -> Verdict:
    """What one more result makes of it.

    A backend of which nothing is known gets flows by its first good result, so that a new one need
    not wait; after a bad one it has to rise as any other.
    """
    row = _row(before.row, is_well)
    penalty = before.penalty_at(now, rules.half_life_s)
    damped = before.damped and penalty >= FREE_BELOW
    seen = replace(before, row=row, penalty=penalty, at=now, damped=damped)
    if is_well:
        risen = before.word == "unknown" or row >= rules.rise
        return seen if before.word == "well" or not risen or damped else _changed(seen, "well", now)
    if before.word == "unknown":
        return _changed(seen, "quarantined", now)
    if before.word == "quarantined" or -row < rules.fall:
        return seen
    penalty = min(penalty + FALL_PENALTY, HIGHEST_PENALTY)
    fallen = _changed(seen, "quarantined", now)
    return replace(fallen, penalty=penalty, damped=penalty > DAMPED_ABOVE)


def _row(row: int, is_well: bool) -> int:
    if is_well:
        return max(row, 0) + 1
    return min(row, 0) - 1


def _changed(verdict: Verdict, word: Word, now: float) -> Verdict:
    return replace(verdict, word=word, since=now, changes=verdict.changes + 1)
