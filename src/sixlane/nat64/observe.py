# SPDX-License-Identifier: Apache-2.0
"""What is there now: devices, what is attached to them, what the data path has in force."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from sixlane.datapath import (
    NO_ROOM,
    Attachment,
    Datapath,
    Placed,
    Room,
    SlowPath,
    StaticBinding,
    Taken,
)
from sixlane.nat64.announced import NOTHING, Announced, observe_announced
from sixlane.nat64.native import Network
from sixlane.nat64.slowpath import observe_slow_path
from sixlane.net import address, gso, link


@dataclass(frozen=True)
class Device:
    """`kind`, `master` and `other_names` as in net.link; `mac`: 6 bytes on Ethernet; `addresses`:
    of global scope; `big_tcp`: packets of IPv6 may be larger than 64 KiB there."""

    name: str
    ifindex: int
    kind: str
    is_ethernet: bool
    mac: bytes
    mtu: int
    up: bool
    addresses: tuple[IPv4Address | IPv6Address, ...]
    master: int | None = None
    other_names: tuple[str, ...] = ()
    big_tcp: bool = False


@dataclass(frozen=True)
class Observed:
    """All that a plan depends on beside the resource.

    `placed`: the addresses of pool4 in force; `room`: of the session tables; `taken`: of pool4, by
    the index of the address, which need not be in pool4 any more; `announced`: of pool4;
    `static`: bindings.
    """

    devices: dict[str, Device]
    attachments: tuple[Attachment, ...]
    slow_path: SlowPath | None
    generation: int
    digest: int | None
    prefix_ids: dict[str, int]
    more_than_destination: str | None  # why next hops must not be remembered
    native: tuple[Network, ...] = ()  # routes inside of what the Gateway translates, rising
    placed: Placed | None = None
    room: Room = NO_ROOM
    taken: Mapping[int, Taken] = field(default_factory=dict)
    announced: Announced = NOTHING
    static: frozenset[StaticBinding] = frozenset()


def observe_gateway(
    datapath: Datapath,
    more_than_destination: str | None = None,
    native: tuple[Network, ...] = (),
) -> Observed:
    """Reads the calling thread's network namespace and the data path's maps.

    `more_than_destination`, from `net.policy`, and `native`, from `native_routes`, are given, as
    it may need a look at a million routes to know them.
    """
    addresses = address.list_addresses()
    sizes = gso.list_sizes()
    devices = {
        found.name: Device(
            found.name,
            found.ifindex,
            found.kind,
            found.type == link.ARPHRD_ETHER,
            found.mac,
            found.mtu,
            found.up,
            tuple(
                held.interface.ip
                for held in addresses
                if held.ifindex == found.ifindex and held.scope == address.SCOPE_GLOBAL
            ),
            found.master,
            found.other_names,
            found.ifindex in sizes and sizes[found.ifindex].is_big,
        )
        for found in link.list_links()
    }
    return Observed(
        devices,
        tuple(datapath.attachments()),
        observe_slow_path(datapath),
        datapath.generation(),
        datapath.digest(),
        datapath.prefix_ids(),
        more_than_destination,
        native,
        datapath.placed(),
        datapath.room(),
        datapath.taken(),
        observe_announced(),
        datapath.static_bindings(),
    )
