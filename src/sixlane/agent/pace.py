# SPDX-License-Identifier: Apache-2.0
"""Work that is asked for again and again, kept to a share of a CPU."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """Work that took one second of CPU may be done again `rest` seconds later, and `least_s` at
    least. To wait, for a lock or for somebody's answer, is no work.
    """

    def __init__(
        self,
        rest: float,
        least_s: float = 0.0,
        now: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        self._rest = rest
        self._least_s = least_s
        self._now = now
        self._spent = spent
        self._next = 0.0

    def left(self) -> float:
        """Seconds until it may be done; 0: now."""
        return max(0.0, self._next - self._now())

    @contextmanager
    def work(self) -> Iterator[None]:
        """The block is the work, also if it fails; it stays in one thread."""
        before = self._spent()
        try:
            yield
        finally:
            rest_s = self._rest * (self._spent() - before)
            self._next = self._now() + max(self._least_s, rest_s)
