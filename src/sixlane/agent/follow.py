# SPDX-License-Identifier: Apache-2.0
"""Two threads: one hears of changes in the network namespace, one looks what has come of them."""

import logging
import threading
from collections.abc import Callable
from functools import partial

from sixlane.agent import threads
from sixlane.agent.log import fields
from sixlane.agent.pace import Pace
from sixlane.errors import SixlaneError
from sixlane.net.monitor import KINDS, Monitor

_log = logging.getLogger("sixlane.follow")
_COALESCE_S = 0.05
_RETRY_S = 1.0
_REST = 20.0


class Follower:
    """Tells what kinds of things have changed, as `net.monitor` names them.

    `at_once(kinds)` is called when it is heard, and then at most 20 times a second; it must be
    quick. `on_change(kinds)`, which may look at the whole machine and wait for others, is called as
    often as long as that takes no more than a twentieth of a CPU; nothing is forgotten
    meanwhile. `is_native`: see `Monitor`.
    """

    def __init__(
        self,
        at_once: Callable[[set[str]], None],
        on_change: Callable[[set[str]], None],
        is_native: Callable[[bytes], bool],
    ) -> None:
        self._at_once = at_once
        self._on_change = on_change
        self._pending: set[str] = set()
        self._lock = threading.Lock()  # of what is pending
        self._news = threading.Event()
        self._pace = Pace(_REST, _COALESCE_S)
        self._closing = threading.Event()
        self._monitor = Monitor(is_native)
        self._threads = [
            threads.start(name, partial(self._repeat, step))
            for name, step in (("follow", self._hear), ("follow-look", self._look))
        ]

    def close(self) -> None:
        """Wait for the look at hand."""
        self._closing.set()
        self._news.set()
        self._monitor.close()
        for thread in self._threads:
            thread.join()

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._closing.is_set():
            try:
                step()
            except SixlaneError as error:
                _log.error("following the network failed", extra=fields(error=error))
                self._closing.wait(_RETRY_S)
            except Exception:
                _log.exception("following the network failed")
                self._closing.wait(_RETRY_S)

    def _hear(self) -> None:
        if not self._monitor.wait():
            return
        kinds = self._monitor.drain() & KINDS
        if kinds:
            try:
                self._at_once(kinds)
            finally:
                self._note(kinds)
        self._closing.wait(_COALESCE_S)

    def _look(self) -> None:
        self._news.wait()
        self._closing.wait(self._pace.left())
        if self._closing.is_set():
            return
        with self._lock:
            told, self._pending = self._pending, set()
            self._news.clear()
        try:
            with self._pace.work():
                self._on_change(told)
        except BaseException:
            self._note(told)
            raise

    def _note(self, kinds: set[str]) -> None:
        with self._lock:
            self._pending |= kinds
            self._news.set()
