# SPDX-License-Identifier: Apache-2.0
"""What a step works with: commands on hosts, shown as they are typed, and checks of output."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sixlane.errors import SixlaneError
from sixlane.lab import programs
from sixlane.lab.place import Place
from sixlane.lab.programs import Ran


class StepFailedError(SixlaneError):
    """A step did not hold. `ran` is the command whose output shows it."""

    def __init__(self, message: str, ran: Ran | None = None) -> None:
        super().__init__(message)
        self.ran = ran


@dataclass(frozen=True)
class Seen:
    """What a step saw, once it held."""

    text: str
    round_trip_ms: float | None = None
    bits_per_second: tuple[float, ...] = ()


class Narrator(Protocol):
    """Shows what is done while it is done."""

    def command(self, text: str) -> None:
        """`text` is about to run."""

    def output(self, text: str) -> None:
        """What it printed."""


class Silent:
    """For tests: a failure carries the command and its output anyway."""

    def command(self, text: str) -> None:
        pass

    def output(self, text: str) -> None:
        pass


@dataclass(frozen=True)
class Session:
    place: Place
    narrator: Narrator

    def run(self, host: str, argv: Sequence[str], *, timeout: float = 20.0) -> Ran:
        """Run a program on a host, whatever its exit status, and show both."""
        return self._shown(programs.on_host(self.place, host, argv), timeout)

    def run_ok(self, host: str, argv: Sequence[str], *, timeout: float = 20.0) -> Ran:
        """The same for a program that has to succeed."""
        ran = self.run(host, argv, timeout=timeout)
        self.need(ran.status == 0, f"exit status {ran.status}", ran)
        return ran

    def need(self, holds: bool, otherwise: str, ran: Ran) -> None:
        """Raise `StepFailedError` saying `otherwise` about `ran` unless it holds."""
        if not holds:
            raise StepFailedError(otherwise, ran)

    def _shown(self, argv: Sequence[str], timeout: float) -> Ran:
        self.narrator.command(shlex.join(argv))
        ran = programs.run_here(argv, timeout)
        self.narrator.output(ran.text)
        return ran
