# SPDX-License-Identifier: Apache-2.0
"""Stateful Gateways, told to the data path and to the reference. Few of everything, so that packets
meet and pools run out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final, NamedTuple

from sixlane.datapath.layout import Lifetime, Limit, SessionProtocol
from sixlane.datapath.pools import PoolEntry, PoolRange, Room, Stateful
from sixlane.model import RangeList
from sixlane.nat64.known import ranges_table
from sixlane.rfc.rfc6146 import Blocks, Config, DropReason, Lifetimes, Limits, Pool4, Protocol
from sixlane.rfc.rfc7915 import Prefix, Translator
from tests.unit.rfc.vectors import EDGE, TRANSLATOR
from tests.world import World, tables_for

ROOM: Final = Room(sessions=1024, bindings=1024, clients=64, addresses=4, filters=1024)
WELL_KNOWN: Final = Prefix(
    name="well-known",
    network=IPv6Network("64:ff9b::/96"),
    ipv4=(IPv4Network("192.175.48.0/24"),),
    sources=None,
    eam=(),
)
EVERYBODY: Final = IPv6Network("::/0")
LIFETIMES: Final = Lifetimes(tcp_est=7440)
BLOCK_PORTS: Final = 64

NUMBERS: Final = {
    Protocol.TCP: SessionProtocol.SESSION_TCP,
    Protocol.UDP: SessionProtocol.SESSION_UDP,
    Protocol.ICMP: SessionProtocol.SESSION_ICMP,
}


class Ports(NamedTuple):
    """First and last one, of each protocol."""

    tcp: tuple[int, int]
    udp: tuple[int, int]
    icmp: tuple[int, int]

    def by_protocol(self) -> dict[Protocol, tuple[int, int]]:
        return {Protocol.TCP: self.tcp, Protocol.UDP: self.udp, Protocol.ICMP: self.icmp}


FEW: Final = Ports((1080, 1095), (1080, 1095), (1080, 1095))
"""Eight ports in each of two blocks."""

SCARCE: Final = Ports((1086, 1089), (1150, 1155), (1214, 1219))
"""Four blocks, of which each protocol may have a part of two."""


@dataclass(frozen=True)
class Pool:
    """One entry of pool4: `networks` by their place in the tables of addresses."""

    networks: Mapping[IPv4Network, int]
    ports: Ports = FEW
    sources: IPv6Network = EVERYBODY
    blocks: int = 2


TWO: Final = Pool({IPv4Network("192.31.197.8/31"): 0})
FOUR: Final = Pool({IPv4Network("192.31.197.8/30"): 0})


@dataclass(frozen=True)
class Gateway:
    """`reaches`: why packets are dropped in a long sequence, among others. `sweeps`: what has ended
    is taken out as soon as the clock has gone on, as by an agent."""

    name: str
    pools: tuple[Pool, ...] = (TWO,)
    translator: Translator = TRANSLATOR
    address_dependent_filtering: bool = False
    drop_external_syns: bool = False
    max_sessions: int = 0
    sweeps: bool = True
    reaches: frozenset[DropReason] = frozenset({DropReason.NO_BINDING})

    @property
    def networks(self) -> list[IPv4Network]:
        return [network for pool in self.pools for network in pool.networks]

    @property
    def addresses(self) -> list[IPv4Address]:
        return [address for network in self.networks for address in network]

    @property
    def pool6(self) -> list[IPv6Network]:
        return [prefix.network for prefix in self.translator.prefixes]

    def reference(self) -> Config:
        return Config(
            pool6=tuple(self.pool6),
            pool4=tuple(
                Pool4(
                    tuple(pool.networks),
                    {protocol: (some,) for protocol, some in pool.ports.by_protocol().items()},
                    pool.sources,
                )
                for pool in self.pools
            ),
            lifetimes=LIFETIMES,
            limits=Limits(peer_syns=int(Limit.SYN_WAYS), client_sessions=self.max_sessions or None),
            blocks=Blocks(BLOCK_PORTS, self.pools[0].blocks),
            address_dependent_filtering=self.address_dependent_filtering,
            drop_external_syns=self.drop_external_syns,
            answer_strangers=True,
        )

    def configure(self, world: World) -> None:
        tables = tables_for(self.translator, world.wan, world.lan)
        stateful = Stateful(
            [
                self._entry(number, pool)
                for number, pool in sorted(
                    enumerate(self.pools), key=lambda one: -one[1].sources.prefixlen
                )
            ],
            {
                Lifetime.LIFETIME_UDP: round(LIFETIMES.udp),
                Lifetime.LIFETIME_ICMP: round(LIFETIMES.icmp),
                Lifetime.LIFETIME_TCP_ESTABLISHED: round(LIFETIMES.tcp_est),
                Lifetime.LIFETIME_TCP_TRANSITORY: round(LIFETIMES.tcp_trans),
                Lifetime.LIFETIME_TCP_INCOMING_SYN: round(LIFETIMES.tcp_incoming_syn),
            },
            filter_address=self.address_dependent_filtering,
            no_syn_46=self.drop_external_syns,
        )
        ranges = ranges_table([], RangeList(), [], RangeList.of(self.networks))
        world.commit(replace(tables, stateful=stateful, ranges=ranges))

    def _entry(self, number: int, pool: Pool) -> PoolEntry:
        return PoolEntry(
            f"pool{number}",
            number,
            pool.sources,
            [
                PoolRange(network[0], network.num_addresses, index)
                for network, index in pool.networks.items()
            ],
            {NUMBERS[protocol]: some for protocol, some in pool.ports.by_protocol().items()},
            block_ports=BLOCK_PORTS,
            blocks=pool.blocks,
            max_sessions=self.max_sessions,
        )


GATEWAYS: Final = (
    Gateway("plain"),
    Gateway(
        "scarce",
        (Pool({IPv4Network("192.31.197.8/32"): 0}, SCARCE),),
        reaches=frozenset({DropReason.NO_PORT}),
    ),
    Gateway(
        "filtering",
        (FOUR,),
        address_dependent_filtering=True,
        reaches=frozenset({DropReason.FILTERED}),
    ),
    Gateway(
        "no SYNs from outside, few sessions",
        drop_external_syns=True,
        max_sessions=6,
        reaches=frozenset({DropReason.FILTERED, DropReason.CLIENT_SESSION_LIMIT}),
    ),
    Gateway(
        "both classes, ports by protocol",
        (replace(FOUR, ports=Ports((960, 1087), (1016, 1100), (0, 65535))),),
    ),
    Gateway(
        "two prefixes, pool4 by source",
        (
            TWO,
            Pool({IPv4Network("192.31.197.16/31"): 2}, sources=IPv6Network("2001:db8:64:2::/64")),
        ),
        replace(TRANSLATOR, prefixes=(EDGE, WELL_KNOWN)),
        reaches=frozenset({DropReason.NOT_GLOBAL, DropReason.PREF64_CONFLICT}),
    ),
    Gateway("nobody sweeps", (FOUR,), sweeps=False),
)
