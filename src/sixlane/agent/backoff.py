# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the next try."""

import time
from collections.abc import Callable

_FIRST_S, _LONGEST_S, _CALM_S = 0.5, 30.0, 60.0


class Backoff:
    """None at all the first time, then twice as long each time, until nothing failed for a minute.

    Waiting counts as calm only beyond the wait itself.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._tries = 0
        self._calm_from = 0.0

    @property
    def tries(self) -> int:
        """How many there were since the last calm."""
        return self._tries

    def next(self) -> float:
        """Seconds to wait now."""
        now = self._now()
        if self._tries and now >= self._calm_from:
            self._tries = 0
        wait = 0.0 if self._tries == 0 else min(_LONGEST_S, _FIRST_S * 2 ** (self._tries - 1))
        self._tries += 1
        self._calm_from = now + wait + _CALM_S
        return wait
