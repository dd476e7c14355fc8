# SPDX-License-Identifier: Apache-2.0
"""Routes: list, look up, add, remove."""

import errno
import socket
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

from pyroute2.netlink.rtnl.rtmsg import rtmsg

from sixlane.errors import KernelError, SixlaneError
from sixlane.net import link, netlink

Network = IPv4Network | IPv6Network
IPAddress = IPv4Address | IPv6Address

TABLE_MAIN = 254
TABLE_LOCAL = 255

PROTOCOL_KERNEL = 2
PROTOCOL_BOOT = 3
PROTOCOL_STATIC = 4

UNICAST = 1
LOCAL = 2
BLACKHOLE = 6
UNREACHABLE = 7
PROHIBIT = 8

_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_F_CLONED = 0x200  # an entry of the route cache, not of the table
_NEXT_HOP_ONLINK = 4
_SCOPE_LINK, _SCOPE_HOST = 253, 254
_RTAX_LOCK, _RTAX_MTU = 1, 2
_RTAX_MTU_BIT = 1 << _RTAX_MTU
_ERRORS_OF_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
_ERRORS_OF_FILTER = (errno.EXDEV, errno.EINVAL)  # of kernels up to 6.12, and of later ones


@dataclass(frozen=True)
class Route:
    """One route. Where it has several next hops, the first is shown and `multipath` is set."""

    dst: Network
    gateway: IPAddress | None
    ifindex: int | None
    table: int
    mtu: int | None  # bytes of layer 3; None: that of the device
    mtu_locked: bool  # path MTU discovery cannot lower it
    protocol: int  # PROTOCOL_...: who made it
    type: int  # UNICAST, LOCAL, BLACKHOLE, ...
    metric: int
    source: IPAddress | None  # address of this machine that packets without one get
    onlink: bool  # the gateway is on the link, whatever the prefixes say
    multipath: bool


def list_routes(
    *,
    version: int | None = None,
    table: int | None = TABLE_MAIN,
    dev: link.Device | None = None,
    proto: int | None = None,
) -> list[Route]:
    """The routes that match, picked by the kernel. `version` 4 or 6, None: both.

    `table` None: all tables (thus also the local addresses and the multicast routes).
    """
    attributes: list[netlink.Attribute] = []
    if table is not None:
        attributes.append(("RTA_TABLE", table))
    if dev is not None:
        attributes.append(("RTA_OIF", link.index(dev)))
    found = []
    for family in _families(version):
        fields = {"family": int(family), "proto": proto or 0}
        try:
            messages = netlink.dump(rtmsg, _RTM_GETROUTE, fields, attributes, what="list routes")
        except KernelError as error:
            if error.errno == errno.ENOENT and table is not None:
                continue  # no route was ever put into this table
            raise
        found += [_route(m) for m in messages if not m["flags"] & _F_CLONED]
    return found


def lookup(destination: IPAddress) -> Route | None:
    """The route that a packet from this machine to `destination` takes; None if there is none.

    Its `dst` is the destination itself, its `mtu` that of the route, or of the path, if learnt.
    """
    bits = destination.max_prefixlen
    fields = {"family": int(_family(destination)), "dst_len": bits}
    attributes = [("RTA_DST", str(destination))]
    what = f"look up a route to {destination}"
    try:
        found = _route(netlink.get(rtmsg, _RTM_GETROUTE, fields, attributes, what=what))
    except KernelError as error:
        if error.errno in _ERRORS_OF_NO_ROUTE:
            return None
        raise
    return None if found.type in (BLACKHOLE, UNREACHABLE, PROHIBIT) else found


def takes(source: IPv4Address, destination: IPv4Address, dev: link.Device) -> bool:
    """Whether the kernel takes a packet from `source` to an address of this machine that comes in
    by a device: its reverse path filter (RFC 3704 2.2, 2.3) may be in the way, and then it says so
    itself. Raises `KernelError` for what would be refused otherwise."""
    fields = {"family": int(socket.AF_INET), "dst_len": 32, "src_len": 32}
    attributes: list[netlink.Attribute] = [
        ("RTA_DST", str(destination)),
        ("RTA_SRC", str(source)),
        ("RTA_IIF", link.index(dev)),
    ]
    what = f"look up whether packets from {source} to {destination} are taken"
    try:
        netlink.get(rtmsg, _RTM_GETROUTE, fields, attributes, what=what)
    except KernelError as error:
        if error.errno in _ERRORS_OF_FILTER:
            return False
        raise
    return True


def add(
    dst: Network,
    *,
    via: IPAddress | None = None,
    dev: link.Device | None = None,
    mtu: int | None = None,
    mtu_lock: bool = False,
    onlink: bool = False,
    table: int | None = None,
    proto: int | None = None,
    metric: int | None = None,
    source: IPAddress | None = None,
    kind: int = UNICAST,
    replace: bool = False,
    look: bool = True,
) -> None:
    """Add a route to `dst` (0.0.0.0/0 and ::/0: the default route).

    `via` is the gateway (an IPv4 destination may have an IPv6 one), `mtu` is in bytes of layer 3,
    and with `mtu_lock` IPv4 packets longer than it are fragmented whatever path MTU was learnt.
    `table` defaults to main, `proto` to static. `kind` may be BLACKHOLE, UNREACHABLE or PROHIBIT.
    Raises `KernelError` EEXIST if there is a route with this destination, table and metric,
    unless `replace`; ENETUNREACH if the gateway is on no link. `look`: see that it is there;
    whoever adds many does so once, behind them.
    """
    what = f"add route {_text(dst, via, dev)}"
    ifindex = None if dev is None else link.index(dev)
    table, proto = table or TABLE_MAIN, proto or PROTOCOL_STATIC
    netlink.change(
        rtmsg,
        _RTM_NEWROUTE,
        {
            **_key(dst, table),
            "proto": proto,
            "type": kind,
            "scope": _scope(dst, via, kind),
            "flags": _NEXT_HOP_ONLINK if onlink else 0,
        },
        [
            *_destination(dst, table),
            *_next_hop(dst, via, ifindex),
            *_metrics(mtu, mtu_lock),
            *([("RTA_PRIORITY", metric)] if metric is not None else []),
            *([("RTA_PREFSRC", str(source))] if source is not None else []),
        ],
        what=what,
        flags=netlink.F_CREATE | (netlink.F_REPLACE if replace else netlink.F_EXCL),
    )
    if not look:
        return
    wanted = (kind, via, mtu, mtu_lock, onlink, source)
    for seen in _with_destination(dst, table, ifindex, proto):
        shown = (seen.type, seen.gateway, seen.mtu, seen.mtu_locked, seen.onlink, seen.source)
        if shown == wanted and (metric is None or seen.metric == metric):
            return
    raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def remove(
    dst: Network,
    *,
    via: IPAddress | None = None,
    dev: link.Device | None = None,
    table: int | None = None,
    proto: int | None = None,
    metric: int | None = None,
    look: bool = True,
) -> None:
    """Remove the first route to `dst` that has all that is given. `table` defaults to main.

    Raises `KernelError` (ESRCH) if there is none. `look`: as for `add`.
    """
    what = f"remove route {_text(dst, via, dev)}"
    ifindex = None if dev is None else link.index(dev)
    table = table or TABLE_MAIN
    before = _with_destination(dst, table, ifindex, proto) if look else []
    netlink.change(
        rtmsg,
        _RTM_DELROUTE,
        {**_key(dst, table), "proto": proto or 0, "type": 0, "scope": 255},
        [
            *_destination(dst, table),
            *_next_hop(dst, via, ifindex),
            *([("RTA_PRIORITY", metric)] if metric is not None else []),
        ],
        what=what,
    )
    if before and len(_with_destination(dst, table, ifindex, proto)) >= len(before):
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def _families(version: int | None) -> tuple[socket.AddressFamily, ...]:
    both = {4: socket.AF_INET, 6: socket.AF_INET6}
    return tuple(both.values()) if version is None else (both[version],)


def _family(address: Network | IPAddress) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _text(dst: Network, via: IPAddress | None, dev: link.Device | None) -> str:
    via_text = f" via {via}" if via is not None else ""
    return f"{dst}{via_text}" + (f" dev {link.name_of(dev)}" if dev is not None else "")


def _key(dst: Network, table: int) -> dict[str, int]:
    narrow = table if table < 256 else 0  # the field has 8 bits; RTA_TABLE has 32
    return {"family": int(_family(dst)), "dst_len": dst.prefixlen, "table": narrow}


def _scope(dst: Network, via: IPAddress | None, kind: int) -> int:
    """IPv4's check that a gateway is nearer than the destination; IPv6 ignores it."""
    if dst.version == 6 or via is not None or kind not in (UNICAST, LOCAL):
        return 0
    return _SCOPE_HOST if kind == LOCAL else _SCOPE_LINK


def _destination(dst: Network, table: int) -> list[netlink.Attribute]:
    return [("RTA_DST", str(dst.network_address)), ("RTA_TABLE", table)]


def _next_hop(dst: Network, via: IPAddress | None, ifindex: int | None) -> list[netlink.Attribute]:
    attributes: list[netlink.Attribute] = []
    if via is not None and via.version == dst.version:
        attributes.append(("RTA_GATEWAY", str(via)))
    elif via is not None:
        attributes.append(("RTA_VIA", {"family": int(_family(via)), "addr": str(via)}))
    if ifindex is not None:
        attributes.append(("RTA_OIF", ifindex))
    return attributes


def _metrics(mtu: int | None, lock: bool) -> list[netlink.Attribute]:
    if mtu is None:
        return []
    values = [("RTAX_LOCK", _RTAX_MTU_BIT)] if lock else []
    return [("RTA_METRICS", {"attrs": [*values, ("RTAX_MTU", mtu)]})]


def _with_destination(
    dst: Network, table: int, ifindex: int | None, proto: int | None
) -> list[Route]:
    routes = list_routes(version=dst.version, table=table, dev=ifindex, proto=proto)
    return [route for route in routes if route.dst == dst]


def _route(message: Any) -> Route:
    version = 4 if message["family"] == socket.AF_INET else 6
    any_address = "0.0.0.0" if version == 4 else "::"
    destination = message.get_attr("RTA_DST") or any_address
    hops = message.get_attr("RTA_MULTIPATH") or []
    hop = hops[0] if hops else message
    metrics = message.get_attr("RTA_METRICS")
    locked = (metrics.get_attr("RTAX_LOCK") or 0) if metrics else 0
    source = message.get_attr("RTA_PREFSRC")
    return Route(
        dst=ip_network(f"{destination}/{message['dst_len']}"),
        gateway=_gateway(hop),
        ifindex=hop["oif"] if hops else message.get_attr("RTA_OIF"),
        table=message.get_attr("RTA_TABLE") or message["table"],
        mtu=(metrics.get_attr("RTAX_MTU") if metrics else None),
        mtu_locked=bool(locked & _RTAX_MTU_BIT),
        protocol=message["proto"],
        type=message["type"],
        metric=message.get_attr("RTA_PRIORITY") or 0,
        source=ip_address(source) if source else None,
        onlink=bool(hop["flags"] & _NEXT_HOP_ONLINK),
        multipath=len(hops) > 1,
    )


def _gateway(hop: Any) -> IPAddress | None:
    text = hop.get_attr("RTA_GATEWAY")
    if text is None and hop.get_attr("RTA_VIA"):
        text = hop.get_attr("RTA_VIA")["addr"]
    return ip_address(text) if text else None
