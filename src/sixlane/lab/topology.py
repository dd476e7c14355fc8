# SPDX-License-Identifier: Apache-2.0
"""What the lab looks like: hosts, the links between them, addresses and routes. Data, nothing else.

        client (in the allow list)                                        pod1  pod3
       .10 |                                                                |    |
           |       1400          wan0      lan0         1400                |    |
        inet ------------ isp     |          |     ,------------- node1 ----'----'
        |  |               |      |          |     |
        |  '---------------|---- gw -------- leaf -'------------- node2 -------- pod2
        |                  |
     stranger .200       web4 .53
     (not in the list)   web and DNS

    192.31.196.0/24, IPv4 only             64:ff9b::192.175.48.0/120 and 2001:db8:64::/48, IPv6 only

Both links of 1400 bytes lie between two routers, so that neither end knows of them: path-MTU
discovery has to find them. Addresses are special-purpose but global (RFC 7534, RFC 7535):
documentation addresses would have to be refused under 64:ff9b::/96 (RFC 6052 3.1).
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

WELL_KNOWN = ipaddress.IPv6Network("64:ff9b::/96")
ETHERNET_MTU = 1500
SMALL_MTU = 1400


class Family(Enum):
    """Which IP a host speaks."""

    IPV4 = "IPv4-only"
    IPV6 = "IPv6-only"
    BOTH = "IPv4 and IPv6"


@dataclass(frozen=True)
class Route:
    """`to` is a network or "default"; without `via`, packets to it are refused (unreachable).
    Flows are spread over `via` and `other`, if there is one."""

    to: str
    via: str | None
    other: str | None = None


@dataclass(frozen=True)
class Host:
    """One network namespace. `nameserver` is what its /etc/resolv.conf names."""

    name: str
    what: str
    family: Family
    router: bool = False
    routes: tuple[Route, ...] = ()
    nameserver: str | None = None


@dataclass(frozen=True)
class End:
    """One end of a link: a device of a host, and its addresses with their lengths."""

    host: str
    device: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Link:
    """A veth pair; `mtu` (bytes) holds at both ends."""

    left: End
    right: End
    mtu: int = ETHERNET_MTU

    @property
    def ends(self) -> tuple[End, End]:
        return (self.left, self.right)


@dataclass(frozen=True)
class Topology:
    hosts: tuple[Host, ...]
    links: tuple[Link, ...]

    def host(self, name: str) -> Host:
        """The host of that name; KeyError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def ends(self) -> Iterator[tuple[Link, End]]:
        """Every end of every link."""
        for link in self.links:
            for end in link.ends:
                yield link, end


def embed(ipv4: str) -> str:
    """The IPv6 address that stands for `ipv4` under 64:ff9b::/96 (RFC 6052 2.2)."""
    return str(WELL_KNOWN[int(ipaddress.IPv4Address(ipv4))])


# The IPv4-only internet.
CLIENT4 = "192.31.196.10"
STRANGER4 = "192.31.196.200"
WEB4 = "192.31.196.53"
GATEWAY4 = "192.31.196.1"
WEB4_NAME = "v4only.test"

# The IPv6-only cluster. Who stands behind an IPv4 address has it embedded as a second address.
GATEWAY6 = "2001:db8:64::1"
SERVICE4 = "192.175.48.10"
SERVICE6 = embed(SERVICE4)
POD_IPV4 = {"pod1": "192.175.48.129", "pod2": "192.175.48.130", "pod3": "192.175.48.131"}
ROUTER_IPV4 = {"leaf": "192.175.48.192", "node1": "192.175.48.193", "node2": "192.175.48.194"}
# Mapped pods (RFC 7757) are called by addresses that are not embedded in their own.
MAPPED_IPV4 = {"pod1": "192.31.196.225", "pod2": "192.31.196.226"}
# Shared by pods that have no IPv4 address of their own (RFC 6146).
POOL4 = "192.31.196.232/30"
CLUSTER4 = "192.175.48.0/24"
CLUSTER6 = "2001:db8:64::/48"
CLUSTER_EMBEDDED = f"{embed('192.175.48.0')}/120"

_NODE_OF = {"pod1": "node1", "pod2": "node2", "pod3": "node1"}
_NODE_MTU = {"node1": SMALL_MTU, "node2": ETHERNET_MTU}


def own_address(pod: str) -> str:
    """The pod's address in its node's network, which has no IPv4 address in it."""
    return _pod_address(pod, 2)


def _pod_address(pod: str, interface: int) -> str:
    return f"2001:db8:64:{pod.removeprefix('pod')}::{interface}"


def _uplink_address(node: str, interface: int) -> str:
    return f"2001:db8:64:f{node.removeprefix('node')}::{interface}"


def _embedded_of(pod: str) -> tuple[str, ...]:
    """The addresses under 64:ff9b::/96 that a pod answers to."""
    own = embed(POD_IPV4[pod])
    return (own, SERVICE6) if pod == "pod1" else (own,)


def _pods_of(node: str) -> list[str]:
    return [pod for pod, where in _NODE_OF.items() if where == node]


def _to_each(addresses: tuple[str, ...], via: str) -> Iterator[Route]:
    for address in addresses:
        yield Route(f"{address}/128", via)


def _pod(pod: str, what: str) -> Host:
    default = Route("default", _pod_address(pod, 1))
    return Host(pod, what, Family.IPV6, routes=(default,), nameserver=GATEWAY6)


def _node(node: str) -> Host:
    routes = [Route("default", _uplink_address(node, 1))]
    for pod in _pods_of(node):
        routes += _to_each(_embedded_of(pod), via=_pod_address(pod, 2))
    return Host(node, "a node of the cluster", Family.IPV6, router=True, routes=tuple(routes))


def _leaf() -> Host:
    # The more specific routes keep pods among themselves; the last one keeps addresses that
    # nobody has from circling between the leaf and the gateway.
    routes = [
        Route(str(WELL_KNOWN), GATEWAY6),
        Route(CLUSTER_EMBEDDED, None),
    ]
    for node in _NODE_MTU:
        uplink = _uplink_address(node, 2)
        routes += _to_each((embed(ROUTER_IPV4[node]),), via=uplink)
        for pod in _pods_of(node):
            routes.append(Route(f"{_pod_address(pod, 0)}/64", uplink))
            routes += _to_each(_embedded_of(pod), via=uplink)
    return Host("leaf", "the cluster's router", Family.IPV6, router=True, routes=tuple(routes))


def _gateway() -> Host:
    leaf = "2001:db8:64::2"
    routes = (
        Route("default", "192.31.196.2"),
        Route(CLUSTER6, leaf),
        Route(CLUSTER_EMBEDDED, leaf),
    )
    return Host("gw", "the gateway: sixlane", Family.BOTH, router=True, routes=routes)


def _cluster_links() -> Iterator[Link]:
    leaf_up = (f"{_cluster(2)}/64", f"{embed(ROUTER_IPV4['leaf'])}/128")
    yield Link(End("gw", "lan0", (f"{GATEWAY6}/64",)), End("leaf", "up0", leaf_up))
    for node, mtu in _NODE_MTU.items():
        node_up = (f"{_uplink_address(node, 2)}/64", f"{embed(ROUTER_IPV4[node])}/128")
        leaf_down = (f"{_uplink_address(node, 1)}/64",)
        yield Link(End("leaf", node, leaf_down), End(node, "up0", node_up), mtu)
    for pod, node in _NODE_OF.items():
        own = f"{_pod_address(pod, 2)}/64"
        embedded = tuple(f"{address}/128" for address in _embedded_of(pod))
        node_end = End(node, pod, (f"{_pod_address(pod, 1)}/64",))
        yield Link(node_end, End(pod, "eth0", (own, *embedded)))


def _cluster(interface: int) -> str:
    return f"2001:db8:64::{interface}"


def _internet_hosts() -> Iterator[Host]:
    yield Host(
        "client",
        "an IPv4-only client, in loadBalancerSourceRanges",
        Family.IPV4,
        routes=(Route("default", "192.31.196.9"),),
    )
    yield Host(
        "stranger",
        "an IPv4-only client, outside loadBalancerSourceRanges",
        Family.IPV4,
        routes=(Route("default", "192.31.196.193"),),
    )
    yield Host(
        "inet",
        "the IPv4-only internet",
        Family.IPV4,
        router=True,
        routes=(
            Route(CLUSTER4, GATEWAY4),
            Route(POOL4, GATEWAY4),
            Route("192.31.196.48/29", "192.31.196.18"),
        ),
    )
    yield Host(
        "isp",
        "a router behind a smaller link",
        Family.IPV4,
        router=True,
        routes=(Route("default", "192.31.196.17"),),
    )
    yield Host(
        "web4",
        "an IPv4-only web and DNS server",
        Family.IPV4,
        routes=(Route("default", "192.31.196.49"),),
    )


def _internet_links() -> Iterator[Link]:
    yield Link(
        End("inet", "client", ("192.31.196.9/30",)), End("client", "eth0", (f"{CLIENT4}/30",))
    )
    yield Link(
        End("inet", "stranger", ("192.31.196.193/28",)),
        End("stranger", "eth0", (f"{STRANGER4}/28",)),
    )
    yield Link(
        End("inet", "isp", ("192.31.196.17/30",)),
        End("isp", "inet", ("192.31.196.18/30",)),
        SMALL_MTU,
    )
    yield Link(End("isp", "web4", ("192.31.196.49/29",)), End("web4", "eth0", (f"{WEB4}/29",)))
    yield Link(End("inet", "gw", ("192.31.196.2/30",)), End("gw", "wan0", (f"{GATEWAY4}/30",)))


LAB = Topology(
    hosts=(
        *_internet_hosts(),
        _gateway(),
        _leaf(),
        _node("node1"),
        _node("node2"),
        _pod("pod1", "serves the cluster's page"),
        _pod("pod2", "a client pod"),
        _pod("pod3", "a client pod behind the smaller link"),
    ),
    links=(*_internet_links(), *_cluster_links()),
)
