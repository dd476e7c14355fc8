# SPDX-License-Identifier: Apache-2.0
"""The clock that the data path reads: jiffies."""

import time

_CLOCK_MONOTONIC_COARSE = 6  # linux/time.h


def jiffies_per_second() -> int:
    """HZ of the running kernel: the coarse clock ticks once a jiffy."""
    return round(1 / time.clock_getres(_CLOCK_MONOTONIC_COARSE))


def flow_tick_shift() -> int:
    """Flows of services count time in ticks of 1 << so many jiffies: from four seconds to eight, so
    that the 4,095 that they can tell apart are hours on each kernel."""
    return (4 * jiffies_per_second() - 1).bit_length()
