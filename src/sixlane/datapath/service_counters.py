# SPDX-License-Identifier: Apache-2.0
"""What is counted of services: per-CPU values added up, by the ids of frontends and backends.

All of it is read at once: 20 ms for 100,000 backends.
"""

from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sixlane.bpf import Map, possible_cpus
from sixlane.datapath import layout
from sixlane.datapath.counters import Counter
from sixlane.datapath.layout import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOTHING = Counter(0, 0)


@dataclass(frozen=True)
class FrontendCount:
    """`flows`: that were new. `drops`: by enum reason in lower case, what there was; one of before
    an upgrade is in `dropped` alone."""

    forwarded: Counter = NOTHING
    dropped: Counter = NOTHING
    flows: int = 0
    drops: Mapping[str, Counter] = field(default_factory=dict)


@dataclass(frozen=True)
class BackendCount:
    """`flows`: that were new."""

    forwarded: Counter = NOTHING
    flows: int = 0


class ServiceCounters:
    """By ids, as of one moment."""

    def __init__(
        self,
        frontends: "NDArray[Any]",
        backends: "NDArray[Any]",
        drops: Mapping[int, Mapping[str, Counter]],
    ) -> None:
        """Rows of struct frontend_counter and struct backend_counter, as numbers."""
        self._frontends: list[list[int]] = frontends.tolist()
        self._backends: list[list[int]] = backends.tolist()
        self._drops = drops

    def frontend(self, id: int) -> FrontendCount:
        if id >= len(self._frontends):
            return FrontendCount()
        pkts, size, dropped, dropped_size, flows = self._frontends[id]
        counted = Counter(pkts, size), Counter(dropped, dropped_size)
        return FrontendCount(*counted, flows, self._drops.get(id, {}))

    def backend(self, id: int) -> BackendCount:
        if id >= len(self._backends):
            return BackendCount()
        pkts, size, flows = self._backends[id]
        return BackendCount(Counter(pkts, size), flows)


def read_service_counters(maps: Mapping[str, Map]) -> ServiceCounters:
    return ServiceCounters(
        _summed(maps["frontend_stats"]), _summed(maps["backend_stats"]), _read_drops(maps)
    )


def clear_drops(drops: Map, ids: Container[int] | None = None) -> None:
    """Of frontends whose ids are about to be others'; None: of all."""
    for key in [key for key, _ in drops.items_per_cpu()]:
        if ids is None or layout.FrontendDrop.from_buffer_copy(key).frontend in ids:
            drops.delete(key)


def _summed(stats: Map) -> "NDArray[Any]":
    """A row for each id from 0 on."""
    import numpy as np

    words = stats.info.value_size // 8
    blocks = [
        np.frombuffer(values, np.uint64).reshape(-1, possible_cpus(), words).sum(axis=1)
        for _, values in stats.rows_per_cpu()
    ]
    found: NDArray[Any] = np.concatenate(blocks)
    return found


def _read_drops(maps: Mapping[str, Map]) -> Mapping[int, Mapping[str, Counter]]:
    found: defaultdict[int, dict[str, Counter]] = defaultdict(dict)
    for key, values in maps["frontend_drops"].items_per_cpu():
        drop = layout.FrontendDrop.from_buffer_copy(key)
        counted = [layout.Counter.from_buffer_copy(value) for value in values]
        found[drop.frontend][Reason(drop.reason).name.lower()] = Counter(
            sum(one.pkts for one in counted), sum(one.bytes for one in counted)
        )
    return found
