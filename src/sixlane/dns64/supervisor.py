# SPDX-License-Identifier: Apache-2.0
"""Who starts named and ends it: we ourselves, or systemd.

Finding one needs no supervisor: it is known by its command line (`process.find`).
"""

import contextlib
import os
import pwd
import shutil
import signal
from pathlib import Path
from typing import Protocol

from sixlane.dns64 import process, unit
from sixlane.dns64.place import Place
from sixlane.errors import KernelError


class Supervisor(Protocol):
    """`name`: of the Dns64 resource. All raise `SixlaneError`."""

    def start(self, name: str, place: Place) -> int:
        """Start the named of this configuration; its pid. It may yet fail to begin its work."""

    def reload(self, name: str, pid: int) -> None:
        """Have it read its configuration again."""

    def stop(self, name: str, pid: int | None) -> None:
        """End it, by force if it must be; returns when it has ended, and nobody starts it again.

        `pid` None: it does not run, but may be about to.
        """

    def kill(self, name: str, pid: int) -> None:
        """End it at once: it no longer listens to reason. It will be started anew."""

    def forget(self, name: str, place: Place) -> None:
        """Remove what it has written."""


class Direct:
    """named as a child of ours that outlives us."""

    def start(self, name: str, place: Place) -> int:
        state = place.state(name)
        try:
            state.mkdir(parents=True, exist_ok=True)
            user, _ = process.unprivileged_user(place.configuration(name).parent, state)
            _give_to(state, user)
        except OSError as error:
            raise KernelError(error.errno or 0, f"make {state}") from error
        return process.start(place.configuration(name), user)

    def reload(self, name: str, pid: int) -> None:
        process.reload(pid)

    def stop(self, name: str, pid: int | None) -> None:
        if pid is None:
            return
        its_unit = unit.unit_of(pid)
        if its_unit is not None:  # of an agent that was a unit itself
            unit.stop(its_unit)
        else:
            process.stop(pid)

    def kill(self, name: str, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def forget(self, name: str, place: Place) -> None:
        remove_directory(place.state(name))


class Units:
    """named as an instance of a template unit, such as `sixlane-dns64@.service`.

    It needs no privilege of ours: systemd changes user, sends signals and owns the directory. Of a
    named that was started without systemd, only root can make one with it.
    """

    def __init__(self, template: str) -> None:
        self._template = template

    def start(self, name: str, place: Place) -> int:
        return unit.start(self._unit(name))

    def reload(self, name: str, pid: int) -> None:
        unit.reload(self._unit(name))

    def stop(self, name: str, pid: int | None) -> None:
        if pid is not None and unit.unit_of(pid) is None:
            process.stop(pid)
        unit.stop(self._unit(name))

    def kill(self, name: str, pid: int) -> None:
        unit.kill(self._unit(name))

    def forget(self, name: str, place: Place) -> None:
        if place.state(name).exists():
            unit.remove_state(self._unit(name))
        remove_directory(place.state(name))

    def _unit(self, name: str) -> str:
        return unit.instance(self._template, name)


def remove_directory(directory: Path) -> None:
    """With all that is in it, and its parent if nothing else is in there."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise KernelError(error.errno or 0, f"remove {directory}") from error
    with contextlib.suppress(OSError):  # others are in there
        directory.parent.rmdir()


def _give_to(directory: Path, user: str | None) -> None:
    """named's files are its own: they may be left from one that ran as another user."""
    account = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    for path in (directory, *directory.iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
