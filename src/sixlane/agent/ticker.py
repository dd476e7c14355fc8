# SPDX-License-Identifier: Apache-2.0
"""What has to be looked at again and again, whether or not anybody was told of a change."""

import logging
import threading
from collections.abc import Callable

from sixlane.agent import threads
from sixlane.agent.pace import Pace

_log = logging.getLogger("sixlane.ticker")

PERIOD_S = 2.0
_REST = 20.0


class Ticker:
    """Calls `look()` from a thread of its own, `period_s` after the last look ended, or later if
    that one was much work: looking takes a twentieth of a CPU at most.
    """

    def __init__(self, look: Callable[[], None], period_s: float = PERIOD_S) -> None:
        self._look = look
        self._period_s = period_s
        self._closing = threading.Event()
        self._thread = threads.start("ticker", self._run)

    def close(self) -> None:
        """Wait for the look at hand."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        pace = Pace(_REST, self._period_s)
        wait_s = self._period_s
        while not self._closing.wait(wait_s):
            try:
                with pace.work():
                    self._look()
            except Exception:
                _log.exception("a look failed that nobody waits for")
            wait_s = pace.left()
