# SPDX-License-Identifier: Apache-2.0
"""How even a table of owners is, and how many flows another one moves. All results are exact."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

Owner = TypeVar("Owner", bound=Hashable)


def shares(table: Sequence[Owner]) -> dict[Owner, Fraction]:
    """The part of the entries that each owner has."""
    return {owner: Fraction(count, len(table)) for owner, count in Counter(table).items()}


def moved(before: Sequence[Owner], after: Sequence[Owner]) -> Fraction:
    """The part of the entries that have another owner; all, if there were or are none.

    ValueError: the tables have different sizes, so that flows do not keep their entries.
    """
    if before and after and len(before) != len(after):
        raise ValueError(f"tables of {len(before)} and {len(after)} entries")
    if not before or not after:
        return Fraction(bool(before or after))
    return Fraction(sum(old != new for old, new in zip(before, after, strict=True)), len(before))


def least_moved(before: Mapping[Owner, int], after: Mapping[Owner, int]) -> Fraction:
    """The least that any table can move if everybody has just the share that its weight says, by
    the weights of all owners: what those who lose some of theirs lose."""
    old, new = _ideal(before), _ideal(after)
    lost = [old[owner] - new.get(owner, Fraction()) for owner in old]
    won = [new[owner] - old.get(owner, Fraction()) for owner in new]
    return max(sum((part for part in parts if part > 0), Fraction()) for parts in (lost, won))


def _ideal(weights: Mapping[Owner, int]) -> dict[Owner, Fraction]:
    total = sum(weights.values())
    return {owner: Fraction(weight, total) for owner, weight in weights.items() if weight}
