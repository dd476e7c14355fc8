# SPDX-License-Identifier: Apache-2.0
"""Numbers about the pods of this node."""

from collections import Counter as Multiset
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sixlane.datapath.counters import Counter
from sixlane.model import Network
from sixlane.model.network import PoolRanges
from sixlane.pods.big_tcp import EndPlan, Family
from sixlane.pods.ipam import of_egress, of_pool
from sixlane.pods.pod import Lease
from sixlane.rfc import rfc6052

EGRESS = "statelessEgress"
"""In the place of a pool's name, which none can have."""

BigTcpState = Literal["as_asked", "limited", "lacking"]


@dataclass(frozen=True)
class AddressUse:
    """Addresses of one family of a pool: how many pods have, and how many there are to be had."""

    leased: int
    room: int


@dataclass(frozen=True)
class PodMetrics:
    """`pending`: pods whose ADD is under way. `pools`: by name and version of IP. `counters`: as in
    the status. `big_tcp`: devices on the node, by family and whether they have what is asked."""

    pods: int
    pending: int
    pools: Mapping[tuple[str, int], AddressUse]
    counters: Mapping[str, Counter]
    big_tcp: Mapping[tuple[Family, BigTcpState], int] = field(default_factory=dict)


def pool_use(network: Network, leases: Iterable[Lease]) -> dict[tuple[str, int], AddressUse]:
    """What pods have of ranges that are in no pool any more is not counted."""
    spec, taken = network.spec, Multiset[tuple[str, int]]()
    egress = spec.stateless_egress
    ranges = PoolRanges(spec.pools)
    for lease in leases:
        for address in lease.addresses:
            found = ranges.holding(address)
            if found is not None:
                taken[spec.pools[int(found[0][1])].name, address.version] += 1
        if egress and lease.egress and lease.egress in egress.prefix:
            ipv4 = rfc6052.extract(egress.prefix, lease.egress)
            taken[EGRESS, 4] += any(ipv4 in one for one in egress.ipv4)
    room = Multiset[tuple[str, int]]()
    for pool in spec.pools:
        for one in pool.ranges:
            room[pool.name, one.version] += of_pool(one).size
    if egress:
        room[EGRESS, 4] = sum(of_egress(one).size for one in egress.ipv4)
    return {key: AddressUse(taken[key], size) for key, size in room.items()}


def big_tcp_use(plans: Iterable[EndPlan]) -> dict[tuple[Family, BigTcpState], int]:
    """`plans`: with what is asked; a family that is not asked for is not counted."""
    found = Multiset[tuple[Family, BigTcpState]]()
    for plan in plans:
        for family in plan.asked:
            state: BigTcpState = (
                "lacking"
                if family in plan.lacks
                else "limited"
                if family in plan.limited
                else "as_asked"
            )
            found[family, state] += 1
    return dict(found)
