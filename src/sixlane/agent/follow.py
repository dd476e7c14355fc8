# SPDX-License-Identifier: Apache-2.0
"""A thread that hears of changes in the network namespace."""

import logging
import threading
from collections.abc import Callable

from sixlane.errors import SixlaneError
from sixlane.net.monitor import KINDS, Monitor

_log = logging.getLogger("sixlane.follow")
_COALESCE_S = 0.05
_RETRY_S = 1.0


class Follower:
    """Calls `on_change(kinds)`, as `net.monitor` names them, at once and then at most 20 times a
    second.
    """

    def __init__(self, on_change: Callable[[set[str]], None]) -> None:
        self._on_change = on_change
        self._closing = threading.Event()
        self._monitor = Monitor()
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._monitor.close()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = _COALESCE_S
            try:
                if not self._monitor.wait():
                    continue
                self._on_change(self._monitor.drain() & KINDS)
            except SixlaneError as error:
                _log.error("%s", error)
                pause = _RETRY_S
            except Exception:
                _log.exception("following the network failed")
                pause = _RETRY_S
            self._closing.wait(pause)
