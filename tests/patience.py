# SPDX-License-Identifier: Apache-2.0
"""How long tests wait for what must come. No measurement: they go on as soon as it is there."""

import os

_SLOWER = "TESTS_SLOWER"


def patience(seconds: float) -> float:
    """So many seconds, and more where the machine is known to be slower."""
    return seconds * float(os.environ.get(_SLOWER, "1"))


def slower(times: int) -> str:
    """For the environment of tests on a machine that is so many times slower."""
    return f"{_SLOWER}={times}"
