# SPDX-License-Identifier: Apache-2.0
"""Which CPU a test runs on, where each CPU remembers for itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROCESSOR = 36  # of what follows the name in proc_pid_stat(5)


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """The calling thread stays where it is; where it was allowed before, it is allowed again."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_current()})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


def _current() -> int:
    stat = Path("/proc/thread-self/stat").read_text()
    return int(stat.rpartition(")")[2].split()[_PROCESSOR])
