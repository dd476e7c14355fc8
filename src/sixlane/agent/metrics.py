# SPDX-License-Identifier: Apache-2.0
"""Numbers about the agent itself."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from sixlane.agent.health import HealthMetrics
from sixlane.agent.pod_metrics import PodMetrics
from sixlane.datapath.sessions import PoolUse, ProtocolName, StateName
from sixlane.lb import ServiceUse

BOUNDS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True)
class Histogram:
    """`counts`: how many lasted at most each of `BOUNDS_S`, and last how many there were at all."""

    counts: tuple[int, ...]
    sum_s: float


class Durations:
    """Noted by one thread, seen by any."""

    def __init__(self) -> None:
        self._histogram = Histogram((0,) * (len(BOUNDS_S) + 1), 0.0)

    def note(self, seconds: float) -> None:
        one = [0] * (len(BOUNDS_S) + 1)
        one[bisect_left(BOUNDS_S, seconds)] = 1
        old = self._histogram
        counts = tuple(a + b for a, b in zip(old.counts, accumulate(one), strict=True))
        self._histogram = Histogram(counts, old.sum_s + seconds)

    def seen(self) -> Histogram:
        return self._histogram


@dataclass(frozen=True)
class Metrics:
    """Of the applies since the agent started, and of what is desired.

    `generation`: of the data path; None: there is none. `devices`: by name, whether one is up and
    has a program attached. `apply_s`: how long those took that succeeded. `fill`: by what there is
    room for, how much of it is taken, and how much there is. `sessions`: that live, by protocol and
    state; `pools`: each address of pool4. `log_lost`: lines of the session log that could not be
    written. `health`: of the checks of services; `services`: those in force. `pods`: None: there is
    no Network. `requests`: of container runtimes, by command and result; `requests_s`: how long
    those took, by command.
    """

    revision: int
    generation: int | None
    devices: dict[str, bool]
    applies_ok: int
    applies_failed: int
    apply_s: Histogram
    resources: int
    ready: int
    fill: dict[str, tuple[int, int]]
    sessions: dict[tuple[ProtocolName, StateName], int] = field(default_factory=dict)
    pools: list[PoolUse] = field(default_factory=list)
    log_lost: int = 0
    health: HealthMetrics = field(default_factory=HealthMetrics)
    services: Sequence[ServiceUse] = ()
    pods: PodMetrics | None = None
    requests: Mapping[tuple[str, str], int] = field(default_factory=dict)
    requests_s: Mapping[str, Histogram] = field(default_factory=dict)
