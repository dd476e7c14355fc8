# SPDX-License-Identifier: Apache-2.0
"""Work that is asked for again and again, kept to a share of the time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """Work that took one second may be done again `rest` seconds later, and `least_s` at least."""

    def __init__(
        self, rest: float, least_s: float = 0.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest = rest
        self._least_s = least_s
        self._now = now
        self._next = 0.0

    def left(self) -> float:
        """Seconds until it may be done; 0: now."""
        return max(0.0, self._next - self._now())

    @contextmanager
    def work(self) -> Iterator[None]:
        """The block is the work; also if it fails."""
        start = self._now()
        try:
            yield
        finally:
            end = self._now()
            self._next = end + max(self._least_s, self._rest * (end - start))
