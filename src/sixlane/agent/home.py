# SPDX-License-Identifier: Apache-2.0
"""Which network namespace is the agent's: to tidy up after it, one must be in there."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sixlane.net import netns

_OURS = "/proc/thread-self/ns/net"
_FILE = "netns"


def remember_home(run_dir: Path) -> None:
    """Write down the network namespace of the calling thread."""
    Path(run_dir, _FILE).write_text(_identity(_OURS) + "\n")


@contextmanager
def inside_home(run_dir: Path) -> Iterator[None]:
    """Be in the namespace that was written down for the block, if it is still there by a name.

    Otherwise stay: its devices have gone with it.
    """
    with netns.inside(_name_of_home(run_dir)):
        yield


def _name_of_home(run_dir: Path) -> str | None:
    try:
        home = Path(run_dir, _FILE).read_text().strip()
    except OSError:
        return None
    if home == _identity(_OURS):
        return None
    for name in netns.names():
        with contextlib.suppress(OSError):
            if _identity(netns.DIRECTORY / name) == home:
                return name
    return None


def _identity(path: str | Path) -> str:
    found = os.stat(path)
    return f"{found.st_dev}:{found.st_ino}"
