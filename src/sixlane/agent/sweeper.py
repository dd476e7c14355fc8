# SPDX-License-Identifier: Apache-2.0
"""Has the data path take out sessions that have ended, all slots once a round, and sends what time
alone has sent: probes of connections, and answers to SYNs that nobody came to meet.

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
from sixlane.datapath import Swept
from sixlane.errors import KernelError, SixlaneError
from sixlane.nat64 import port_unreachable, probe_segment
from sixlane.net.raw import RawSender

_log = logging.getLogger("sixlane.sweeper")

ROUND_S = 10.0
STEP_S = 0.25
CHUNK = 4096  # slots a call: a tenth of a millisecond if none of them has ended
_IDLE_S = 2.0


class Tables(Protocol):
    """What has sessions, or none at the moment."""

    def is_stateful(self) -> bool:
        """Whether there can be any."""

    def session_slots(self) -> int:
        """How many slots there are to sweep."""

    def sweep_sessions(self, first: int, count: int) -> Swept:
        """Take out what has ended in these."""

    def sweep_syns(self) -> list[bytes]:
        """Take out SYNs that nobody came to meet; the first bytes of those to be answered."""


class Sweeper:
    """Sweeps from a thread of its own, a part of the slots each `STEP_S`.

    It is given no share of a CPU that it must keep to: sessions have to be taken out as fast as
    packets make them, and while an agent sweeps nobody else does.
    """

    def __init__(self, tables: Tables) -> None:
        self._sender = RawSender()
        self._sweep = Sweep(tables, self._sender.send)
        self._closing = threading.Event()
        self._thread = threads.start("sweeper", self._run)

    def close(self) -> None:
        """Wait for the step at hand."""
        self._closing.set()
        self._thread.join()
        self._sender.close()

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
    """How far it has come. A step does what is due since the one before.

    `send`: is given whole packets.
    """

    def __init__(
        self,
        tables: Tables,
        send: Callable[[bytes], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tables = tables
        self._send_packet = send
        self._now = now
        self._next = 0
        self._last_s = now() - STEP_S
        self._told: set[int] = set()

    def step(self) -> bool:
        """Whether there is anything that may have to be swept."""
        passed_s, self._last_s = self._now() - self._last_s, self._now()
        if not self._tables.is_stateful():
            return False
        for syn in self._tables.sweep_syns():
            self._send(port_unreachable(syn))
        slots = self._tables.session_slots()
        due = min(slots, -int(-slots * passed_s // ROUND_S))
        while due > 0:
            if self._next >= slots:
                self._next = 0
            count = min(CHUNK, due, slots - self._next)
            for probe in self._tables.sweep_sessions(self._next, count).probes:
                self._send(probe_segment(probe))
            self._next += count
            due -= count
        return True

    def _send(self, packet: bytes) -> None:
        """Whoever cannot be reached goes without; each kind of failure is told once."""
        try:
            self._send_packet(packet)
        except KernelError as error:
            if error.errno not in self._told:
                self._told.add(error.errno)
                _log.warning("not sent, as maybe others", extra=fields(error=error))
