# SPDX-License-Identifier: Apache-2.0
"""What a pod's device takes, as requests for a `netlink.Channel`: quick to make and to read.

`link`, `address`, `route` and `neigh` are for people's pace: they open a socket, use a codec and
look at what they did, each time. Here, whoever has made many requests looks once, with `read_end`
and `read_furniture`.
"""

import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import NamedTuple

from sixlane.net import netlink
from sixlane.net.netlink import Channel, Request, attribute, attributes_of

IPAddress = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _GETADDR = 20, 22
_NEWROUTE, _GETROUTE = 24, 26
_NEWNEIGH, _GETNEIGH = 28, 30
_NEW = netlink.F_CREATE | netlink.F_EXCL
_ANEW = netlink.F_CREATE | netlink.F_REPLACE

# family, type, index, flags, flags to change
LINK_HEADER = struct.Struct("=BxHiII")
# family, prefix length, flags, scope, index
_ADDRESS_HEADER = struct.Struct("=BBBBI")
# family, prefix lengths of destination and source, tos, table, protocol, scope, type, flags
_ROUTE_HEADER = struct.Struct("=BBBBBBBBI")
# family, index, state, flags, type
_NEIGHBOUR_HEADER = struct.Struct("=BxxxiHBB")
_U32 = struct.Struct("=I")

IFF_UP = 0x1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_IFALIAS = 1, 3, 4, 18, 20
_IFLA_AF_SPEC, _IFLA_NET_NS_FD = 26, 28
_IFLA_INET6_ADDR_GEN_MODE, _NONE = 8, b"\1"
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_NODAD, _IFA_F_TENTATIVE, _IFA_F_NOPREFIXROUTE = 0x02, 0x40, 0x200
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_TABLE, _RTA_VIA = 1, 4, 5, 7, 15, 18
_RTNH_F_ONLINK = 4
_TABLE_MAIN, _UNICAST = 254, 1
_SCOPE_GLOBAL, _SCOPE_LINK = 0, 253
_NDA_DST, _NDA_LLADDR = 1, 2
_NUD_PERMANENT = 0x80
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Way(NamedTuple):
    """A route of table main by one device. `source`: which address packets without one get;
    `protocol`: who made it."""

    dst: Network
    gateway: IPAddress | None
    source: IPAddress | None
    protocol: int


class Neighbour(NamedTuple):
    """Whose hardware address is known for good."""

    address: IPAddress
    mac: bytes


@dataclass(frozen=True)
class End:
    """One end of a pair as the kernel has it. `kind` is that of its device, `data` what is special
    to the kind, as bytes. `generates`: the kernel gives it link-local addresses."""

    ifindex: int
    name: str
    kind: str
    mac: bytes
    mtu: int
    up: bool
    generates: bool
    data: bytes = b""


@dataclass(frozen=True)
class Furniture:
    """What hangs on an end. `settled`: addresses that can be used; `ways`: of table main;
    `neighbours`: for good."""

    settled: frozenset[Interface]
    ways: frozenset[Way]
    neighbours: frozenset[Neighbour]


# ---- devices ----


def end_attributes(name: str, mtu: int, mac: bytes = b"", namespace_fd: int | None = None) -> bytes:
    """Of one end of a new pair. `namespace_fd`: where it is to be, in place of here."""
    return b"".join(
        (
            attribute(_IFLA_IFNAME, name.encode() + b"\0"),
            attribute(_IFLA_MTU, _U32.pack(mtu)),
            attribute(_IFLA_ADDRESS, mac) if mac else b"",
            b"" if namespace_fd is None else attribute(_IFLA_NET_NS_FD, _U32.pack(namespace_fd)),
        )
    )


def new_pair(kind: str, near: bytes, data: bytes, what: str) -> Request:
    """A pair of devices, down. `near`: what `end_attributes` says of the end here; `data`: of the
    kind, with the other end."""
    info = attribute(_IFLA_INFO_KIND, kind.encode()) + attribute(_IFLA_INFO_DATA, data)
    body = LINK_HEADER.pack(0, 0, 0, 0, 0) + near + attribute(_IFLA_LINKINFO, info)
    return Request(what, _NEWLINK, body, _NEW)


def new_veth(near: bytes, far: bytes, what: str) -> Request:
    """A veth pair, down."""
    veth_info_peer = 1
    peer = attribute(veth_info_peer, LINK_HEADER.pack(0, 0, 0, 0, 0) + far)
    return new_pair("veth", near, peer, what)


def set_up(ifindex: int, what: str, alias: str = "") -> Request:
    """`alias`: free text for people."""
    named = attribute(_IFLA_IFALIAS, alias.encode()) if alias else b""
    return Request(what, _NEWLINK, LINK_HEADER.pack(0, 0, ifindex, IFF_UP, IFF_UP) + named)


def without_generated_addresses(ifindex: int, what: str) -> Request:
    """For before it is up: it gets no link-local address but those that it is given. (The sysctl
    addr_gen_mode says the same, and makes who reads or writes it spin while others change
    devices.)"""
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, _NONE)
    families = attribute(_IFLA_AF_SPEC, attribute(socket.AF_INET6, mode))
    return Request(what, _NEWLINK, LINK_HEADER.pack(0, 0, ifindex, 0, 0) + families)


def delete(ifindex: int, what: str) -> Request:
    """A device, and of a pair both; that there is none is fine."""
    gone = (errno.ENODEV,)
    return Request(what, _DELLINK, LINK_HEADER.pack(0, 0, ifindex, 0, 0), tolerated=gone)


# ---- what they have ----


def new_address(ifindex: int, interface: Interface, what: str) -> Request:
    """Usable at once. A single address has no route to a network with it."""
    alone = interface.network.num_addresses == 1
    flags = _IFA_F_NODAD if interface.version == 6 else 0
    flags |= _IFA_F_NOPREFIXROUTE if alone else 0
    scope = _SCOPE_LINK if interface.is_link_local else _SCOPE_GLOBAL
    header = (_FAMILIES[interface.version], interface.network.prefixlen, 0, scope, ifindex)
    packed = interface.ip.packed
    attributes = (
        attribute(_IFA_LOCAL, packed)
        + attribute(_IFA_ADDRESS, packed)
        + attribute(_IFA_FLAGS, _U32.pack(flags))
    )
    return Request(what, _NEWADDR, _ADDRESS_HEADER.pack(*header) + attributes, _ANEW)


def new_way(ifindex: int, way: Way, what: str) -> Request:
    """A gateway is on the link, whatever the prefixes say. KernelError (EEXIST) if there is another
    way to the same network."""
    family = _FAMILIES[way.dst.version]
    scope = _SCOPE_LINK if way.dst.version == 4 and way.gateway is None else _SCOPE_GLOBAL
    flags = _RTNH_F_ONLINK if way.gateway else 0
    length, table = way.dst.prefixlen, _TABLE_MAIN
    header = (family, length, 0, 0, table, way.protocol, scope, _UNICAST, flags)
    attributes = attribute(_RTA_OIF, _U32.pack(ifindex))
    if length:
        attributes += attribute(_RTA_DST, way.dst.network_address.packed)
    if way.gateway and way.gateway.version == way.dst.version:
        attributes += attribute(_RTA_GATEWAY, way.gateway.packed)
    elif way.gateway:
        via = struct.pack("=H", _FAMILIES[way.gateway.version]) + way.gateway.packed
        attributes += attribute(_RTA_VIA, via)
    if way.source:
        attributes += attribute(_RTA_PREFSRC, way.source.packed)
    return Request(what, _NEWROUTE, _ROUTE_HEADER.pack(*header) + attributes, _NEW)


def new_neighbour(ifindex: int, neighbour: Neighbour, what: str) -> Request:
    family = _FAMILIES[neighbour.address.version]
    header = _NEIGHBOUR_HEADER.pack(family, ifindex, _NUD_PERMANENT, 0, 0)
    attributes = attribute(_NDA_DST, neighbour.address.packed)
    attributes += attribute(_NDA_LLADDR, neighbour.mac)
    return Request(what, _NEWNEIGH, header + attributes, _ANEW)


# ---- looking ----


def read_end(channel: Channel, device: str) -> End | None:
    """A device that is looked for here; None if there is none of that name."""
    what = f"read device {device}"
    named = attribute(_IFLA_IFNAME, device.encode() + b"\0")
    body = LINK_HEADER.pack(0, 0, 0, 0, 0) + named
    message = channel.get(Request(what, _GETLINK, body, tolerated=(errno.ENODEV,)))
    if message is None:
        return None
    _, _, ifindex, flags, _ = LINK_HEADER.unpack_from(message, netlink.HEADER.size)
    found = dict(attributes_of(message, netlink.HEADER.size + LINK_HEADER.size))
    info = dict(attributes_of(found.get(_IFLA_LINKINFO, b""), 0))
    return End(
        ifindex,
        device,
        info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
        found.get(_IFLA_ADDRESS, b""),
        _u32(found.get(_IFLA_MTU)),
        bool(flags & IFF_UP),
        _generates(found.get(_IFLA_AF_SPEC, b"")),
        info.get(_IFLA_INFO_DATA, b""),
    )


def _generates(families: bytes) -> bool:
    of_ipv6 = dict(attributes_of(families, 0)).get(socket.AF_INET6, b"")
    return dict(attributes_of(of_ipv6, 0)).get(_IFLA_INET6_ADDR_GEN_MODE) != _NONE


def read_furniture(channel: Channel, end: End) -> Furniture:
    """All that hangs on it."""
    ifindex, what = end.ifindex, f"read device {end.name}"
    return Furniture(
        frozenset(_addresses(channel, ifindex, what)),
        frozenset(_ways(channel, ifindex, what)),
        frozenset(_neighbours(channel, ifindex, what)),
    )


def _addresses(channel: Channel, ifindex: int, what: str) -> Sequence[Interface]:
    found: list[Interface] = []
    for version, family in _FAMILIES.items():
        body = _ADDRESS_HEADER.pack(family, 0, 0, 0, ifindex)
        for message in channel.dump(Request(what, _GETADDR, body)):
            _, length, flags, _, of = _ADDRESS_HEADER.unpack_from(message, netlink.HEADER.size)
            start = netlink.HEADER.size + _ADDRESS_HEADER.size
            attributes = dict(attributes_of(message, start))
            packed = attributes.get(_IFA_LOCAL) or attributes[_IFA_ADDRESS]
            flags = _u32(attributes.get(_IFA_FLAGS)) or flags
            if of == ifindex and not flags & _IFA_F_TENTATIVE:
                kind = IPv4Interface if version == 4 else IPv6Interface
                found.append(kind((packed, length)))
    return found


def _ways(channel: Channel, ifindex: int, what: str) -> Sequence[Way]:
    found = []
    asked = attribute(_RTA_OIF, _U32.pack(ifindex)) + attribute(_RTA_TABLE, _U32.pack(_TABLE_MAIN))
    for version, family in _FAMILIES.items():
        body = _ROUTE_HEADER.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + asked
        # Before there is a route, there is no table.
        for message in channel.dump(Request(what, _GETROUTE, body, tolerated=(errno.ENOENT,))):
            _, length, _, _, _, protocol, *_ = _ROUTE_HEADER.unpack_from(
                message, netlink.HEADER.size
            )
            start = netlink.HEADER.size + _ROUTE_HEADER.size
            attributes = dict(attributes_of(message, start))
            if _u32(attributes.get(_RTA_OIF)) != ifindex:  # of several next hops
                continue
            packed = attributes.get(_RTA_DST, bytes(4 if version == 4 else 16))
            gateway = attributes.get(_RTA_GATEWAY) or attributes.get(_RTA_VIA, b"")[2:]
            source = attributes.get(_RTA_PREFSRC)
            network = IPv4Network if version == 4 else IPv6Network
            found.append(
                Way(
                    network((packed, length)),
                    ip_address(gateway) if gateway else None,
                    ip_address(source) if source else None,
                    protocol,
                )
            )
    return found


def _neighbours(channel: Channel, ifindex: int, what: str) -> Sequence[Neighbour]:
    found = []
    nda_ifindex = 8
    asked = attribute(nda_ifindex, _U32.pack(ifindex))
    for family in _FAMILIES.values():
        body = _NEIGHBOUR_HEADER.pack(family, 0, 0, 0, 0) + asked
        for message in channel.dump(Request(what, _GETNEIGH, body)):
            _, of, state, _, _ = _NEIGHBOUR_HEADER.unpack_from(message, netlink.HEADER.size)
            start = netlink.HEADER.size + _NEIGHBOUR_HEADER.size
            attributes = dict(attributes_of(message, start))
            if of == ifindex and state & _NUD_PERMANENT and _NDA_LLADDR in attributes:
                address = ip_address(attributes[_NDA_DST])
                found.append(Neighbour(address, attributes[_NDA_LLADDR]))
    return found


def _u32(value: bytes | None) -> int:
    return int(_U32.unpack(value)[0]) if value else 0
