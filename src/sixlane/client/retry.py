# SPDX-License-Identifier: Apache-2.0
"""How a change is made that others may get in the way of."""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

_T = TypeVar("_T")

_RETRIES = 20
_LONGEST_S = 0.5


def pauses_s() -> Iterator[float]:
    """How long to wait after each attempt that failed but the last; longer and longer."""
    longest = 0.01
    for _ in range(_RETRIES):
        yield longest * os.urandom(1)[0] / 255  # `random` takes 5 ms to import
        longest = min(longest * 2, _LONGEST_S)


def changed_in_place(change: Callable[[_T], None], thing: _T) -> None:
    """Whoever returns a changed copy has misunderstood, and would find nothing changed."""
    result: object = change(thing)  # type: ignore[func-returns-value]
    if result is not None:
        raise TypeError("the function has to change what it is given, and to return nothing")
