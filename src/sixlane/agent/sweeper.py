# SPDX-License-Identifier: Apache-2.0
"""Has the data path take out sessions that have ended, all slots once a round.

Correctness never waits for it: what is past its deadline is absent to packets. It gives slots,
ports and blocks back.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from sixlane.agent import threads
from sixlane.agent.log import fields
from sixlane.errors import SixlaneError

_log = logging.getLogger("sixlane.sweeper")

ROUND_S = 10.0
STEP_S = 0.25
CHUNK = 4096  # slots a call: a tenth of a millisecond if none of them has ended
_IDLE_S = 2.0


class Swept(Protocol):
    """What has sessions, or none at the moment."""

    def session_slots(self) -> int:
        """How many slots there are to sweep."""

    def sweep_sessions(self, first: int, count: int) -> int:
        """Take out what has ended in these; how many."""


class Sweeper:
    """Sweeps from a thread of its own, a part of the slots each `STEP_S`.

    It is given no share of a CPU that it must keep to: sessions have to be taken out as fast as
    packets make them, and while an agent sweeps nobody else does.
    """

    def __init__(self, swept: Swept) -> None:
        self._sweep = Sweep(swept)
        self._closing = threading.Event()
        self._thread = threads.start("sweeper", self._run)

    def close(self) -> None:
        """Wait for the step at hand."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        told = ""
        wait_s = 0.0
        while not self._closing.wait(wait_s):
            wait_s = _IDLE_S
            try:
                if self._sweep.step():
                    wait_s = STEP_S
                told = ""
            except SixlaneError as error:  # each once: it is tried again and again
                if told != str(error):
                    _log.error("cannot sweep", extra=fields(error=error))
                told = str(error)
            except Exception:
                _log.exception("cannot sweep")


class Sweep:
    """How far it has come. A step does what is due since the one before."""

    def __init__(self, swept: Swept, now: Callable[[], float] = time.monotonic) -> None:
        self._swept = swept
        self._now = now
        self._next = 0
        self._last_s = now() - STEP_S

    def step(self) -> bool:
        """Whether there was anything to sweep."""
        slots = self._swept.session_slots()
        passed_s, self._last_s = self._now() - self._last_s, self._now()
        if not slots:
            return False
        due = min(slots, -int(-slots * passed_s // ROUND_S))
        while due > 0:
            if self._next >= slots:
                self._next = 0
            count = min(CHUNK, due, slots - self._next)
            self._swept.sweep_sessions(self._next, count)
            self._next += count
            due -= count
        return True
