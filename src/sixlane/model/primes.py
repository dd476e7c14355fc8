# SPDX-License-Identifier: Apache-2.0
"""Sizes of Maglev tables, which are primes."""

from bisect import bisect_left
from functools import cache

SMALLEST_TABLE, LARGEST_TABLE = 251, 131071
ENTRIES_A_BACKEND = 100
"""With so many, no backend gets more than some percent beyond its share (Maglev, section 5.3)."""

_USUAL = (251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65537, 131071)
_FOR_SO_MANY = [size // ENTRIES_A_BACKEND for size in _USUAL]


def usual_size(backends: int) -> int:
    """The smallest of a few that has room for them."""
    return _USUAL[bisect_left(_FOR_SO_MANY, backends)]


@cache
def is_prime(number: int) -> bool:
    return number > 1 and all(number % part for part in range(2, int(number**0.5) + 1))


def prime_from(number: int) -> int:
    """The smallest prime that is not below `number`."""
    while not is_prime(number):
        number += 1
    return number
