# SPDX-License-Identifier: Apache-2.0
"""Policy rules, and whether the next hop depends on more than the destination.

A next hop that is remembered for a destination is right for the next packet only if nothing else of
the packet has a say: no rule that looks at its source or mark, no route with several next hops.
"""

import socket
import struct
import sys
from dataclasses import dataclass
from ipaddress import ip_address

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from sixlane.errors import SixlaneError
from sixlane.net import netlink

RTM_GETROUTE, _RTM_NEWRULE, _RTM_DELRULE, _RTM_GETRULE, _RTM_GETNEXTHOP = 26, 32, 33, 34, 106
_FAMILIES = (socket.AF_INET, socket.AF_INET6)

# struct fib_rule_hdr: family, dst_len, src_len, tos, table, 2 unused, action, flags
_RULE = struct.Struct("=BBBBBxxBI")
_RULE_INVERT = 2
_TO_TABLE = 1
_FRA_DST, _FRA_GOTO, _FRA_PRIORITY, _FRA_FLOW = 1, 4, 6, 11
_FRA_SUPPRESS_IFGROUP, _FRA_SUPPRESS_PREFIXLEN, _FRA_TABLE = 13, 14, 15
_FRA_PAD, _FRA_PROTOCOL = 18, 21
_FRA_FWMARK, _FRA_FWMASK = 10, 16
# What is not in this list is a selector: also those of kernels to come.
_NO_SELECTORS = {
    _FRA_DST,
    _FRA_GOTO,
    _FRA_PRIORITY,
    _FRA_FLOW,
    _FRA_SUPPRESS_IFGROUP,
    _FRA_SUPPRESS_PREFIXLEN,
    _FRA_TABLE,
    _FRA_PAD,
    _FRA_PROTOCOL,
}

# struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
ROUTE_MESSAGE = struct.Struct("=BBBBBBBBI")
RTA_DST, _RTA_MULTIPATH = 1, 9

PROTOCOL = 64
"""Of our own rules: they are for packets that this machine sends with a mark of ours."""

_NEXTHOP_HEADER_LENGTH = 8
_NHA_GROUP = 2


class _NextHopMessage(nlmsg):  # type: ignore[misc]
    """struct nhmsg, which pyroute2 lacks."""

    fields = (("family", "B"), ("scope", "B"), ("protocol", "B"), ("pad", "B"), ("flags", "I"))


@dataclass(frozen=True)
class Rule:
    """One policy rule (`ip rule`)."""

    version: int  # 4 or 6
    priority: int
    table: int  # 0: the rule names none
    action: int  # 1: look up `table`; others: see ip-rule(8)
    by_destination: bool  # it applies to a packet by its destination alone, or to all
    mark: int | None = None  # of packets that it is for
    mask: int = 0  # bits of it that count
    protocol: int = 0  # who made it

    @property
    def looks_up(self) -> bool:
        """Whether it asks its table, and is none of those that forbid or jump."""
        return self.action == _TO_TABLE

    @property
    def is_default(self) -> bool:
        """Whether it is one of those that every namespace starts with."""
        known = {(0, 255), (32766, 254)} | ({(32767, 253)} if self.version == 4 else set())
        return self.by_destination and self.looks_up and (self.priority, self.table) in known


def policy_rules() -> list[Rule]:
    """All policy rules, IPv4 before IPv6, each in the order in which the kernel asks them."""
    found = []
    for family in _FAMILIES:
        fields = {"family": int(family)}
        found += netlink.dump_raw(fibmsg, _RTM_GETRULE, fields, what="list policy rules")
    return [_rule(message) for message in found]


def add_rule(
    mark: int, table: int, *, mask: int = 0xFFFFFFFF, version: int = 4, protocol: int = 0
) -> None:
    """Adds a rule for packets with a mark: they are routed by `table`, from 1 to 2**32 - 1. It
    comes before all others but the first."""
    what = f"add a policy rule for mark {mark} (IPv{version})"
    before = len(_rules_to(table, version))
    _change(_RTM_NEWRULE, mark, table, mask, version, protocol, what)
    if len(_rules_to(table, version)) <= before:
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def remove_rule(rule: Rule) -> None:
    """Removes a rule for a mark, as `policy_rules` tells of it."""
    what = f"remove the policy rule for mark {rule.mark} (IPv{rule.version})"
    before = len(_rules_to(rule.table, rule.version))
    _change(_RTM_DELRULE, rule.mark or 0, rule.table, rule.mask, rule.version, rule.protocol, what)
    if len(_rules_to(rule.table, rule.version)) >= before:
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def _change(
    message: int, mark: int, table: int, mask: int, version: int, protocol: int, what: str
) -> None:
    attributes: list[netlink.Attribute] = [
        ("FRA_FWMARK", mark),
        ("FRA_FWMASK", mask),
        ("FRA_TABLE", table),
        *([("FRA_PROTOCOL", protocol)] if protocol else []),
    ]
    netlink.change(
        fibmsg,
        message,
        {
            "family": int(_FAMILIES[version == 6]),
            "action": _TO_TABLE,
            "table": table if table < 256 else 0,
        },
        attributes,
        what=what,
        flags=netlink.F_CREATE | netlink.F_EXCL if message == _RTM_NEWRULE else 0,
    )


def _rules_to(table: int, version: int) -> list[Rule]:
    return [rule for rule in policy_rules() if rule.version == version and rule.table == table]


def depends_on_more_than_destination() -> str | None:
    """Why a next hop may depend on more than the destination; None: it does not.

    As in "policy rule 100 (IPv4) looks at more than the destination".
    """
    return rules_that_look_at_more() or routes_that_look_at_more()


def rules_that_look_at_more() -> str | None:
    """The same for policy rules alone, of which there are few."""
    for rule in policy_rules():
        if not rule.by_destination and rule.protocol != PROTOCOL:
            return (
                f"policy rule {rule.priority} (IPv{rule.version}) "
                "looks at more than the destination"
            )
    return None


def routes_that_look_at_more() -> str | None:
    """The same for routes and next-hop groups.

    Asks for all routes: with a million of them it takes some seconds.
    """
    for family in _FAMILIES:
        route = netlink.find_raw(
            rtmsg, RTM_GETROUTE, {"family": int(family)}, route_looks_at_more, what="list routes"
        )
        if route is not None:
            return f"the route to {_destination(route)} has several next hops, or looks at more"
    if _next_hop_groups():
        return "there are next-hop groups (ip nexthop)"
    return None


def _rule(message: bytes) -> Rule:
    start = netlink.HEADER.size
    family, _, src_length, tos, table, action, flags = _RULE.unpack_from(message, start)
    attributes = dict(netlink.attributes_of(message, start + _RULE.size))
    return Rule(
        version=4 if family == socket.AF_INET else 6,
        priority=_u32(attributes.get(_FRA_PRIORITY)),
        table=_u32(attributes.get(_FRA_TABLE)) or table,
        action=action,
        by_destination=not (src_length or tos or flags & _RULE_INVERT)
        and attributes.keys() <= _NO_SELECTORS,
        mark=_u32(attributes[_FRA_FWMARK]) if _FRA_FWMARK in attributes else None,
        mask=_u32(attributes.get(_FRA_FWMASK)),
        protocol=_u32(attributes.get(_FRA_PROTOCOL)),
    )


def route_looks_at_more(message: bytes) -> bool:
    """Whether a route (RTM_NEWROUTE) has several next hops, or is not for all by destination."""
    start = netlink.HEADER.size
    _, _, src_length, tos, *_ = ROUTE_MESSAGE.unpack_from(message, start)
    if src_length or tos:
        return True
    return any(
        kind == _RTA_MULTIPATH
        for kind, _ in netlink.attributes_of(message, start + ROUTE_MESSAGE.size)
    )


def next_hop_is_group(message: bytes) -> bool:
    """Whether a next-hop object (RTM_NEWNEXTHOP) stands for several others."""
    start = netlink.HEADER.size + _NEXTHOP_HEADER_LENGTH
    return any(kind == _NHA_GROUP for kind, _ in netlink.attributes_of(message, start))


def _destination(message: bytes) -> str:
    start = netlink.HEADER.size
    family, dst_length, *_ = ROUTE_MESSAGE.unpack_from(message, start)
    attributes = dict(netlink.attributes_of(message, start + ROUTE_MESSAGE.size))
    packed = attributes.get(RTA_DST, bytes(4 if family == socket.AF_INET else 16))
    return f"{ip_address(packed)}/{dst_length}"


def _next_hop_groups() -> bool:
    what = "list next-hop objects"
    found = netlink.find_raw(_NextHopMessage, _RTM_GETNEXTHOP, {}, next_hop_is_group, what=what)
    return found is not None


def _u32(value: bytes | None) -> int:
    return int.from_bytes(value, sys.byteorder) if value else 0
