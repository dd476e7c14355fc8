# SPDX-License-Identifier: Apache-2.0
"""A measurement apart from the machine: what it makes and starts ends with it, even by a kill."""

import os
import sys

from tests.apart import leave_the_machine

_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
_MARK = "SIXLANE_BENCH_APART"


def go_apart(module: str) -> None:
    """Starts `python -m module` again in network, mount and process namespaces of its own, in place
    of this process; returns in there. Needs root."""
    if os.environ.pop(_MARK, None) is None:
        again = (*_UNSHARE, sys.executable, "-m", module, *sys.argv[1:])
        os.execvpe(again[0], again, os.environ | {_MARK: "1"})
    leave_the_machine()
