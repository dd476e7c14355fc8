# SPDX-License-Identifier: Apache-2.0
"""Which CPU a test runs on, where each CPU remembers for itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """The calling thread stays on one; where it was allowed before, it is allowed again."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)
