# SPDX-License-Identifier: Apache-2.0
"""Numbers about the agent itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metrics:
    """Of the applies since the agent started, and of what is desired.

    `last_apply_s`: how long the last one took, in seconds; 0: there was none. `fill`: by what
    there is room for, how much of it is taken, and how much there is.
    """

    revision: int
    applies_ok: int
    applies_failed: int
    last_apply_s: float
    resources: int
    ready: int
    fill: dict[str, tuple[int, int]]
