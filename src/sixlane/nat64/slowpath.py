# SPDX-License-Identifier: Apache-2.0
"""The slow path's namespace: a veth pair, routes that lead straight back, and nothing else.

The kernel in there does for the data path what BPF cannot: it cuts IPv4 packets into fragments (the
route's MTU says how large) and turns frames round so that a tc entry sees them. The host's own
routes, rules and sysctls stay out of it.
"""

import logging
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from sixlane.datapath import Datapath, SlowPath
from sixlane.datapath.layout import SlowMark
from sixlane.datapath.pins import namespace_name
from sixlane.errors import SixlaneError
from sixlane.net import ethtool, link, neigh, netns, policy, route, sysctl

_log = logging.getLogger("sixlane.nat64")

NEAR = "sixlane0"
FAR = "far0"
ALIAS = "sixlane slow path 4"
"""What it is, and which make of it: a pair of another make is replaced."""

_EVERY_MAKE = "sixlane slow path"

# Our end as the namespace's router. 192.0.0.8 is the IPv4 dummy address (RFC 7600).
_ROUTER4 = IPv4Address("192.0.0.8")
_ROUTER6 = IPv6Address("fe80::1")
_MTU = 65535
_LOWEST_IPV6_MTU = 1280

_IPV6_AND_FRAGMENT_HEADER_GROW = 28
"""By how much an IPv4 fragment grows when it is translated."""


_CALLED_MTU = 1240
"""What goes into a tunnel of IPv6 by any link of IPv6, in bytes."""

_TSO = tuple(f"tx-tcp{kind}-segmentation" for kind in ("", "6", "-ecn", "-mangleid"))

SMALL_MTUS = (1006, 508, 296, 68)
"""Of IPv4 links that are too small for what IPv6 may always send: plateaus of RFC 1191, in bytes.

`slow_mtu()` in slow.h picks one; it is the mark and the routing table, too.
"""


# Where somebody asks for the state of connections, fragments are put together before (at -400), and
# cut again behind. Nothing is tracked for that, and what is known by then not to be tracked is left
# in pieces: not all fragments of packets without a session come here, so none may wait for others.
_IN_ORDER = f"""
add table inet sixlane
delete table inet sixlane
table inet sixlane {{
    chain in_pieces {{
        type filter hook prerouting priority -450
        meta mark != {{ {SlowMark.SLOW_IN_ORDER}, {SlowMark.SLOW_CALLED} }} notrack
    }}
    chain untracked {{
        type filter hook prerouting priority raw
        notrack
    }}
    chain whole {{
        type filter hook prerouting priority filter
        ct state untracked accept
    }}
}}
"""


def observe_slow_path(datapath: Datapath) -> SlowPath | None:
    """The veth pair in this network namespace, if it is there and whole."""
    near = link.find(NEAR)
    if near is None or near.alias.partition(":")[0] != ALIAS or not near.up:
        return None
    if not datapath.slow_path_is_attached():
        return None
    far_mac = bytes.fromhex(near.alias.partition(":")[2])
    return SlowPath(near.ifindex, near.mac, far_mac) if len(far_mac) == 6 else None


def raise_slow_path(datapath: Datapath) -> SlowPath:
    """Makes namespace and veth pair anew, and puts the programs on its ends."""
    name = namespace_name(datapath.root)
    remove_slow_path(name)
    netns.create(name)
    near, far = link.create_veth(NEAR, FAR, netns_b=name, mtu=_MTU, up=True)
    link.set_alias(NEAR, ALIAS)
    # What is sent there is cut into segments; veth leaves segments to GRO if the sender has no TSO.
    ethtool.set_features(NEAR, dict.fromkeys(_TSO, False))
    for family in ("ipv4", "ipv6"):
        sysctl.set(("net", family, "conf", NEAR, "forwarding"), "1")
    with netns.inside(name):
        _settle_far_end(near)
        datapath.attach_slow("far", far.ifindex)
    datapath.attach_slow("near", near.ifindex)
    set_fragment_size(datapath, _LOWEST_IPV6_MTU)
    # Last: this says that all of it is there, and to a later agent the far end's address.
    link.set_alias(NEAR, f"{ALIAS}:{far.mac.hex()}")
    return SlowPath(near.ifindex, near.mac, far.mac)


def set_fragment_size(datapath: Datapath, lowest_ipv6_mtu: int) -> None:
    """Fragments will, once translated, be of at most `lowest_ipv6_mtu` bytes."""
    with netns.inside(namespace_name(datapath.root)):
        _add_route4(lowest_ipv6_mtu - _IPV6_AND_FRAGMENT_HEADER_GROW)


def remove_slow_path(name: str) -> None:
    """Removes the veth pair of this network namespace and the namespace `name`."""
    near = link.find(NEAR)
    # An agent that was killed between two steps leaves a pair that it has not marked yet.
    unmarked = near is not None and near.kind == "veth" and not near.alias and netns.exists(name)
    if near is not None and (unmarked or near.alias.startswith(_EVERY_MAKE)):
        link.delete(near.ifindex)
    netns.remove(name, missing_ok=True)


def put_fragments_in_order(datapath: Datapath) -> None:
    """For sessions and services, which know a packet's fragments by the first one."""
    try:
        netns.run(namespace_name(datapath.root), ("nft", "--file", "-"), input=_IN_ORDER)
    except (SixlaneError, OSError) as error:
        _log.warning("fragments are not put in order, install nftables: %s", error)


def _settle_far_end(near: link.Link) -> None:
    link.set_up("lo")  # brings the table of local routes, without which no gateway is valid
    ethtool.set_feature(FAR, "rx-gro", True)  # XDP_REDIRECT reaches a veth with NAPI only
    for scope in ("all", "default", FAR):
        sysctl.set(("net", "ipv4", "conf", scope, "rp_filter"), "0")
        sysctl.set(("net", "ipv4", "conf", scope, "send_redirects"), "0")
    sysctl.set("net.ipv4.ip_forward", "1")
    sysctl.set("net.ipv6.conf.all.forwarding", "1")
    neigh.add_permanent(FAR, _ROUTER4, near.mac)
    neigh.add_permanent(FAR, _ROUTER6, near.mac)
    route.add(IPv6Network("::/0"), via=_ROUTER6, dev=FAR, onlink=True)
    for mark, mtu in (
        (SlowMark.SLOW_CALLED, _CALLED_MTU),
        *zip(SMALL_MTUS, SMALL_MTUS, strict=True),
    ):
        _add_route4(mtu, table=mark)
        policy.add_rule(mark=mark, table=mark)


def _add_route4(mtu: int, table: int | None = None) -> None:
    route.add(
        IPv4Network("0.0.0.0/0"),
        via=_ROUTER4,
        dev=FAR,
        onlink=True,
        mtu=mtu,
        table=table,
        replace=True,
    )
