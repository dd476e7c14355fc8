# SPDX-License-Identifier: Apache-2.0
"""Tell a named that runs and does not answer from one that is busy for a moment."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sixlane.dns64.apply import is_local
from sixlane.dns64.query import answered_server_id

PATIENCE = 3
"""So many rounds in a row without an answer are too many."""

Listener = tuple[str, int]


@dataclass(frozen=True)
class Wedged:
    """A process that has not answered on one of its addresses for too long."""

    name: str
    pid: int
    listener: Listener

    def __str__(self) -> str:
        address, port = self.listener
        return (
            f"named of Dns64 {self.name} (pid {self.pid}) runs and does not answer on {address} "
            f"port {port}, {PATIENCE} times in a row"
        )


class Asking:
    """Counts the rounds. For one thread; the questions are those of `query`."""

    def __init__(self, answers: Callable[[Listener], bool] | None = None) -> None:
        self._answers = answers or _answers
        self._misses: dict[tuple[str, int], int] = {}  # by name and pid

    def round(self, running: Mapping[str, tuple[int, Collection[Listener]]]) -> list[Wedged]:
        """Ask each; those that are wedged by now. `running`: pid and listeners by name."""
        wedged = []
        misses = {}
        for name, (pid, listeners) in running.items():
            silent = next((one for one in sorted(listeners) if not self._answers(one)), None)
            if silent is None:
                continue
            misses[name, pid] = self._misses.get((name, pid), 0) + 1
            if misses[name, pid] >= PATIENCE:
                wedged.append(Wedged(name, pid, silent))
        self._misses = misses
        return wedged


def _answers(listener: Listener) -> bool:
    """Nobody can answer on an address that the machine has lost; it is not named's fault."""
    address, port = listener
    return answered_server_id(address, port) is not None or not is_local(address)
