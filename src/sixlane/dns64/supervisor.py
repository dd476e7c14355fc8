# SPDX-License-Identifier: Apache-2.0
"""Who starts named and ends it: we ourselves, or whoever supervises services on this machine.

Finding one needs no supervisor: it is known by its command line (`process.find`).
"""

import contextlib
import os
import signal
from pathlib import Path
from typing import Protocol

from sixlane.dns64 import process


class Supervisor(Protocol):
    """`name`: of the Dns64 resource. All raise `SixlaneError`."""

    def start(self, name: str, configuration: Path, user: str | None) -> int:
        """Start the named of a configuration file; its pid. It may yet fail to begin its work."""

    def stop(self, name: str, pid: int) -> None:
        """End it, by force if it must be; returns when it has ended, and nobody starts it again."""

    def kill(self, name: str, pid: int) -> None:
        """End it at once: it no longer listens to reason. It will be started anew."""


class Direct:
    """named as a child of ours that outlives us."""

    def start(self, name: str, configuration: Path, user: str | None) -> int:
        return process.start(configuration, user)

    def stop(self, name: str, pid: int) -> None:
        process.stop(pid)

    def kill(self, name: str, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
