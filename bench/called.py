# SPDX-License-Identifier: Apache-2.0
"""Services as they are measured: their tables."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

import numpy as np

from bench.frames import FLOWS, KINDS, Kind
from sixlane.datapath import layout
from sixlane.datapath.layout import BackendState
from sixlane.datapath.rooms import ServiceRoom
from sixlane.datapath.services import LIFETIMES, FrontendEntry, Pool, ServiceEntry, Services
from sixlane.model.packed import packed_address
from sixlane.rfc.rfc7915 import Translator
from tests.world import OWN4, OWN6, World, raise_world, tables_for

Family = Literal[4, 6]
Address = IPv4Address | IPv6Address
TCP, UDP = 6, 17

PORT = 443
_LIFETIME_S = 12_000
_CACHED_FLOWS = 1 << 20
"""As many as there is room for unless another number is configured, or twice the flows that come:
one in a hundred of a million then finds no room."""

CALLED: dict[int, Address] = {4: IPv4Address("193.128.0.0"), 6: IPv6Address("2001:db8:200::1")}
BACKENDS: dict[int, Address] = {4: IPv4Address("10.0.0.1"), 6: IPv6Address("2001:db8:300::1")}
POOLS: dict[int, Address] = {4: IPv4Address("10.1.0.1"), 6: IPv6Address("2001:db8:400::1")}
_POOL_ADDRESSES = 64


@dataclass(frozen=True)
class Called:
    """Services that are alike. `client` and `backend` are families; `backends`: of each service,
    `ring`: entries of each, `addresses`: how many different ones all their backends have."""

    services: int = 1
    client: Family = 4
    backend: Family = 4
    protocol: int = TCP
    nat: bool = False
    backends: int = 10
    ring: int = 1021
    addresses: int = 10
    flows: int = FLOWS
    """That come, at most."""

    @property
    def kind(self) -> Kind:
        return KINDS[1 if self.protocol == TCP else 0]

    @property
    def way(self) -> str:
        """Of what comes from clients, as bench.runs has it."""
        return "xdp 46" if self.client == 4 else "xdp 64"

    @property
    def way_back(self) -> str:
        return "xdp 46" if self.backend == 4 else "xdp 64"

    def entries(self) -> Iterator[ServiceEntry]:
        pool = Pool(POOLS[self.backend], _POOL_ADDRESSES) if self.nat else None
        first = BACKENDS[self.backend]
        answering = tuple(first + at for at in range(self.addresses)) if self.nat else ()
        for at in range(self.services):
            frontend = FrontendEntry(CALLED[self.client] + at, PORT, self.protocol, at + 1)
            yield ServiceEntry(
                f"s{at}",
                at + 1,
                (frontend,),
                nat=self.nat,
                pool4=pool if self.backend == 4 else None,
                pool6=pool if self.backend == 6 else None,
                nat_backends=answering,
            )


def raise_called(stack: ExitStack, called: Called) -> World:
    """With the services in force, and nothing known of any flow."""
    count = called.services
    room = ServiceRoom(
        services=count,
        backends=count * called.backends,
        frontends=count,
        ring_entries=count * called.ring,
        flows=max(_CACHED_FLOWS, 2 * called.flows),
        nat_flows=2 * called.flows if called.nat else 1,
    )
    world = stack.enter_context(raise_world(service_room=room))
    _put_backends(world, called)
    _put_rings(world, called)
    lifetimes = dict.fromkeys(LIFETIMES, _LIFETIME_S)
    tables = tables_for(Translator((), OWN4, OWN6), world.wan, world.lan, loadBalancer={})
    services = Services(tuple(called.entries()), lifetimes=lifetimes)
    world.commit(replace(tables, services=services))
    return world


def _put_backends(world: World, called: Called) -> None:
    """Those of the first service are numbered from 1 on, then those of the second."""
    address = np.frombuffer(packed_address(BACKENDS[called.backend]), ">u8")
    records = array(world, "backends")
    number = np.arange(called.services * called.backends)
    there = records[1 : len(number) + 1]
    there["addr"]["hi"] = address[0]
    there["addr"]["lo"] = address[1] + (number % called.addresses).astype(np.uint64)
    there["service"] = number // called.backends + 1
    there["state"] = BackendState.BACKEND_ACTIVE


def _put_rings(world: World, called: Called) -> None:
    """Each backend in turn: the hash of flows spreads them as a permutation would."""
    count, size = called.services, called.ring
    service, entry = np.divmod(np.arange(count * size), size)
    array(world, "rings")[: count * size] = 1 + service * called.backends + entry % called.backends
    places = (np.arange(count, dtype=np.uint64) * np.uint64(size)) << np.uint64(32)
    array(world, "service_rings")["place"][1 : count + 1] = places | np.uint64(size)


def array(world: World, name: str) -> Any:
    """A map's elements, in the kernel's memory."""
    map = world.datapath.maps()[name]
    types: dict[str, Any] = {
        "backends": layout.Backend,
        "service_rings": layout.ServiceRing,
        "flow_cache": layout.FlowSet,
        "nat_flows": layout.NatFlow,
    }
    # Elements begin at multiples of 8 bytes.
    return np.frombuffer(map.mmap(), np.dtype(types.get(name, np.uint64)))
