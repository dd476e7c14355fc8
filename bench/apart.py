# SPDX-License-Identifier: Apache-2.0
"""A measurement apart from the machine: what it makes and starts ends with it, even by a kill."""

import fcntl
import os
import sys
from pathlib import Path

from tests.apart import leave_the_machine

_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
_MARK = "SIXLANE_BENCH_APART"
_LOCK = Path("/run/sixlane-bench.lock")


def go_apart(module: str) -> None:
    """Starts `python -m module` again in network, mount and process namespaces of its own, in place
    of this process; returns in there, when no other measurement goes on. Needs root."""
    if os.environ.pop(_MARK, None) is None:
        again = (*_UNSHARE, sys.executable, "-m", module, *sys.argv[1:])
        os.execvpe(again[0], again, os.environ | {_MARK: "1"})
    take_turn()
    leave_the_machine()


def take_turn() -> None:
    """Waits for the end of others, which would be measured along; ours is that of the process."""
    lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another measurement to end", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
