# SPDX-License-Identifier: Apache-2.0
"""Numbers about what container runtimes asked for."""

import threading
from collections import Counter, defaultdict
from typing import Literal

from sixlane.agent.metrics import Durations, Histogram

Command = Literal["ADD", "DEL", "CHECK", "GC", "STATUS"]


class Requests:
    """What runtimes asked for, by command and by what came of it; noted and seen by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: Counter[tuple[str, str]] = Counter()
        self._took: defaultdict[str, Durations] = defaultdict(Durations)

    def note(self, command: Command, result: str, seconds: float) -> None:
        """`result`: ok, or what the runtime's error code means."""
        with self._lock:
            self._results[command, result] += 1
            self._took[command].note(seconds)

    def results(self) -> dict[tuple[str, str], int]:
        with self._lock:
            return dict(self._results)

    def took(self) -> dict[str, Histogram]:
        with self._lock:
            return {command: durations.seen() for command, durations in self._took.items()}
