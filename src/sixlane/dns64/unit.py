# SPDX-License-Identifier: Apache-2.0
"""named as a unit of systemd, for an agent that is a unit itself: it outlives the agent's, runs as
BIND's user from the start, and is started again even while there is no agent.
"""

import re
import subprocess
from pathlib import Path

from sixlane.errors import NotSupported, SixlaneError

_PATIENCE_S = 60.0
_UNIT = re.compile(r"/(sixlane-dns64@[a-z0-9-]+\.service)$", re.MULTILINE)


def instance(template: str, name: str) -> str:
    """`sixlane-dns64@cluster.service` for `sixlane-dns64@.service` and `cluster`."""
    return template.replace("@.", f"@{name}.", 1)


def unit_of(pid: int) -> str | None:
    """The unit of ours that a process belongs to; None if it runs by itself, or has ended."""
    try:
        groups = Path("/proc", str(pid), "cgroup").read_text()
    except OSError:
        return None
    found = _UNIT.search(groups)
    return found.group(1) if found else None


def start(unit: str) -> int:
    """Start it; its main pid once named says that it is ready."""
    _systemctl("start", unit)
    return int(_systemctl("show", "--property=MainPID", "--value", unit))


def reload(unit: str) -> None:
    """Have named read its configuration again."""
    _systemctl("reload", unit)


def stop(unit: str) -> None:
    """Returns when it has ended; systemd does not start it again."""
    _systemctl("stop", unit)


def kill(unit: str) -> None:
    """End it at once; systemd starts it again."""
    _systemctl("kill", "--signal=KILL", unit)


def remove_state(unit: str) -> None:
    """Have systemd remove the directory that it made for named, and that is not ours.

    Unlike the others, this verb of systemctl takes the way of D-Bus.
    """
    _systemctl("clean", "--what=state", unit)


def _systemctl(*argv: str) -> str:
    try:
        done = subprocess.run(
            ["systemctl", "--no-ask-password", *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except FileNotFoundError:
        raise NotSupported("systemctl", "start sixlaned without --dns64-unit") from None
    except subprocess.TimeoutExpired:
        raise SixlaneError(
            f"systemctl {' '.join(argv)}: not done after {_PATIENCE_S:g} s",
            f"systemctl status {argv[-1]}",
        ) from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SixlaneError(
            f"systemctl {' '.join(argv)}: {said[0]}", f"journalctl --unit {argv[-1]} says why"
        )
    return done.stdout.strip()
