# SPDX-License-Identifier: Apache-2.0
"""How many flows backends have, counted in memory that packets change: some 20 ms for a million.

What is remembered of a flow outlives it. So a flow counts as long as it would go on where it went,
but one of which a single packet was seen, or whose client has ended it, only for some seconds after
that: else a backend that drains would have flows for minutes after the last one has ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sixlane.datapath import layout
from sixlane.datapath.clock import flow_tick_shift
from sixlane.datapath.layout import BackendState, FlowCell, FlowState, SessionState
from sixlane.datapath.records import STATE_BITS, owned, state_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sixlane.datapath.tables import Rows

RECENT_TICKS = 2
"""That a flow counts for at its beginning and its end: 4 to 12 s at 250 jiffies a second."""

_BLOCK = 1 << 17  # cells that are looked at at once: 1 MiB
_KEEPING = (
    BackendState.BACKEND_ACTIVE,
    BackendState.BACKEND_TERMINATING,
    BackendState.BACKEND_MAINTENANCE,
)
_NAT_ENDED = (
    SessionState.SESSION_FREE,
    SessionState.SESSION_ADDED,
    SessionState.SESSION_BOTH_FIN,
    SessionState.SESSION_TRANS,
)


@dataclass(frozen=True)
class FlowMemory:
    """Maps as shared with the kernel. `nat_fresh`: how many slots of `nat_flows` were ever used."""

    flow_cache: memoryview
    backends: memoryview
    nat_flows: memoryview
    nat_fresh: int


def flows_by_backend(
    memory: FlowMemory, flow_ticks: Sequence[int], affinity_ticks: Mapping[int, int], now: int
) -> "NDArray[Any]":
    """Flows that go on as of the jiffy `now`, by the backend's id.

    `affinity_ticks`: by the ids of services whose clients have one backend each, and whose flows
    nothing else is kept of: these clients are counted. A backend that keeps no flows has none.
    """
    import numpy as np

    backends = np.frombuffer(memory.backends, np.dtype(layout.Backend))
    found = _remembered(memory.flow_cache, backends, flow_ticks, affinity_ticks, now)
    found += _translated(memory, backends, now)
    found[~np.isin(backends["state"], np.array(_KEEPING, np.uint8))] = 0
    return found


def _remembered(
    cache: memoryview,
    backends: "Rows",
    flow_ticks: Sequence[int],
    affinity_ticks: Mapping[int, int],
    now: int,
) -> "NDArray[Any]":
    """Of `flow_cache`."""
    import numpy as np

    tick = now >> flow_tick_shift()
    longest = np.array([-1, *flow_ticks[1:]], np.int64)
    for state in (FlowState.FLOW_NEW, FlowState.FLOW_CLOSING):
        longest[state] = min(longest[state], RECENT_TICKS)
    of_clients = _ticks_of_clients(backends, affinity_ticks)
    cells = np.frombuffer(cache, np.uint64)
    found = np.zeros(len(backends), np.int64)
    for first in range(0, len(cells), _BLOCK):
        block = cells[first : first + _BLOCK]
        block = block[block != 0].astype(np.int64)  # a copy; the tag has the sign
        age = tick - (block >> FlowCell.FLOW_TICK_SHIFT) & FlowCell.FLOW_TICK_MASK
        state = block & (FlowState.FLOW_STATES - 1)
        id = block >> FlowCell.FLOW_BACKEND_SHIFT & FlowCell.FLOW_BACKEND_MASK
        id[id >= len(backends)] = 0
        limit = np.where(state == FlowState.FLOW_CLIENT, of_clients[id], longest[state])
        found += np.bincount(id[age <= limit], minlength=len(backends))
    return found


def _ticks_of_clients(backends: "Rows", affinity_ticks: Mapping[int, int]) -> "NDArray[Any]":
    """How long clients of each backend are remembered; -1: they are none of its flows."""
    import numpy as np

    by_service = np.full(max(affinity_ticks, default=0) + 2, -1, np.int64)
    for service, ticks in affinity_ticks.items():
        by_service[service] = ticks
    services = np.minimum(backends["service"], len(by_service) - 1).astype(np.int64)
    of_each: NDArray[Any] = by_service[services]
    return of_each


def _translated(memory: FlowMemory, backends: "Rows", now: int) -> "NDArray[Any]":
    """Of `nat_flows`: those that neither has ended."""
    import numpy as np

    shared = np.frombuffer(memory.nat_flows, np.dtype(layout.NatFlow))[: memory.nat_fresh]
    found = np.zeros(len(backends), np.int64)
    for first in range(0, len(shared), _BLOCK // 16):
        rows = owned(shared[first : first + _BLOCK // 16])
        rows = rows[(rows["word"] >> STATE_BITS) > now]
        rows = rows[~np.isin(state_of(rows), np.array(_NAT_ENDED))]
        rows = rows[rows["backend_id"] < len(backends)]
        there = backends[rows["backend_id"]]
        same = (there["service"] == rows["service"]) & (there["addr"] == rows["backend"])
        found += np.bincount(rows["backend_id"][same].astype(np.int64), minlength=len(backends))
    return found
