# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: loads every program, and prints the verifier's figures or its last words."""

import sys

from sixlane.bpf import LoadError, LogLevel, Object
from sixlane.datapath import sizes
from sixlane.datapath.objects import DECAP, POD, UPLINK, object_path

_LAST_LINES = 60


def main() -> None:
    try:
        sizes.main()
    except LoadError as error:
        print(error)
        print("\n".join(_steps().splitlines()[-_LAST_LINES:]))
        sys.exit(1)


def _steps() -> str:
    """What the verifier did before it refused."""
    for name in (UPLINK, DECAP, POD):
        with Object.open(object_path(name)) as opened:
            for program in opened.programs.values():
                program.keep_log(LogLevel.BRANCHES)
            try:
                opened.load()
            except LoadError as error:
                return error.log
    return ""


if __name__ == "__main__":
    main()
