# SPDX-License-Identifier: Apache-2.0
"""How large the tables are that backends and what chooses them are kept in."""

from collections.abc import Mapping
from dataclasses import dataclass

from sixlane.bpf import Map
from sixlane.datapath import layout
from sixlane.datapath.layout import Limit
from sixlane.datapath.pools import index_sets

SERVICE_TABLES = tuple(
    name for name, digest in layout.DIGESTS.items() if digest == layout.DIGESTS["backends"]
)
"""Maps that are made anew together: one names ids of others."""

_IDS = {
    "backends": "backends",
    "backend_stats": "backends",
    "service_rings": "services",
    "frontend_stats": "frontends",
}
"""Of what has an element for each id, and one for 0, which is nobody's."""


@dataclass(frozen=True)
class ServiceRoom:
    """How many services, backends and frontends there is room for, entries of all rings together,
    and flows that are remembered."""

    services: int
    backends: int
    frontends: int
    ring_entries: int
    flows: int
    nat_flows: int = 1

    @classmethod
    def of(cls, maps: Mapping[str, Map]) -> "ServiceRoom":
        """As these tables have it."""

        def size(name: str) -> int:
            return maps[name].info.max_entries

        return cls(
            size("service_rings") - 1,
            size("backends") - 1,
            size("frontend_stats") - 1,
            size("rings"),
            size("flow_cache") * Limit.FLOW_CELLS,
            size("nat_flows"),
        )

    def holds(self, other: "ServiceRoom") -> bool:
        """Whether its tables are those that would be made for `other`."""
        return self.entries() == other.entries()

    def entries(self) -> dict[str, int]:
        """Of each table by its name."""
        ids = {name: 1 + int(getattr(self, what)) for name, what in _IDS.items()}
        sets = -(-self.flows // Limit.FLOW_CELLS)
        return {
            **ids,
            "rings": self.ring_entries,
            "flow_cache": 1 << (sets - 1).bit_length(),
            "nat_flows": self.nat_flows,
            "flows_in": index_sets(self.nat_flows),
            "flows_back": index_sets(self.nat_flows),
        }


NO_SERVICE_ROOM = ServiceRoom(0, 0, 0, 1, 1)
"""As tables are made where there are no services."""
