# SPDX-License-Identifier: Apache-2.0
"""Where packets for other machines go: unicast routes by their destination alone, read quickly.

For tables of a million routes: messages are read as bytes, and few are kept.
"""

import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from pyroute2.netlink.rtnl.rtmsg import rtmsg

from sixlane.net import link, netlink, policy
from sixlane.net.policy import ROUTE_MESSAGE, RTA_DST, RTM_GETROUTE

_U32 = struct.Struct("=I")
_RTA_OIF, _RTA_TABLE = 4, 15
_UNICAST = 1
_DEAD, _CLONED = 0x1, 0x200
_TABLE_LOCAL = 255


class Destination(NamedTuple):
    """A network by number: its first address, and how many of its bits are fixed."""

    version: int  # 4 or 6
    address: int
    length: int


def destination_of(message: bytes) -> Destination | None:
    """Of a route (RTM_NEWROUTE, RTM_DELROUTE) to other machines; None if it is another, or all."""
    route = _read(message)
    return route[0] if route else None


def destinations(wanted: Callable[[Destination], bool]) -> list[Destination]:
    """Of the routes that packets meet whatever else they are, those that are `wanted`, rising.

    That is table main and the others that a policy rule for all packets asks. Not: routes through
    the loopback device, and those whose device is down.
    """
    tables = {
        rule.table for rule in policy.policy_rules() if rule.by_destination and rule.looks_up
    } - {_TABLE_LOCAL}
    loopback = {one.ifindex for one in link.list_links() if one.type == link.ARPHRD_LOOPBACK}

    def pick(message: bytes) -> Destination | None:
        route = _read(message)
        if route and route[1] in tables and route[2] not in loopback and wanted(route[0]):
            return route[0]
        return None

    found: set[Destination] = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        fields = {"family": int(family)}
        found.update(netlink.select_raw(rtmsg, RTM_GETROUTE, fields, pick, what="list routes"))
    return sorted(found)


def _read(message: bytes) -> tuple[Destination, int, int] | None:
    """Destination, table, device (0: several, or a next-hop object)."""
    start = netlink.HEADER.size
    family, length, _, _, table, _, _, kind, flags = ROUTE_MESSAGE.unpack_from(message, start)
    if kind != _UNICAST or not length or flags & (_DEAD | _CLONED):
        return None
    address = device = 0
    for attribute, value in netlink.attributes_of(message, start + ROUTE_MESSAGE.size):
        if attribute == RTA_DST:
            address = int.from_bytes(value)
        elif attribute == _RTA_TABLE:
            (table,) = _U32.unpack(value)
        elif attribute == _RTA_OIF:
            (device,) = _U32.unpack(value)
    return Destination(4 if family == socket.AF_INET else 6, address, length), table, device
