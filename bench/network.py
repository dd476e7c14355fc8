# SPDX-License-Identifier: Apache-2.0
"""Client, gateway and server: three network namespaces in a row, and the programs in them.

client eth0 ===== lan0 gateway wan0 ===== eth0 server
"""

from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.ends import Ends, add_addresses, forward, raise_namespace
from sixlane.net import ethtool, gso, link, netns, sysctl
from tests.netns import spaces
from tests.netns.edge import Hosts


@dataclass(frozen=True)
class Addresses:
    """Who has which addresses, with their lengths. A route: at whom, to where, by whom."""

    client: tuple[str, ...]
    lan: str
    wan: str
    server: str
    routes: tuple[tuple[str, str, str], ...]
    called: str
    """The server's address, as the client knows it."""
    many: tuple[str, str] | None = None
    """A network whose addresses are the client's as well, and the first of those that it uses."""


IPV6 = Addresses(
    client=("2001:db8:64::2/64",),
    lan="2001:db8:64::1/64",
    wan="2001:db8:65::1/64",
    server="2001:db8:65::2/64",
    routes=(
        ("client", "default", "2001:db8:64::1"),
        ("server", "default", "2001:db8:65::1"),
        ("gateway", "2001:db8:70::/56", "2001:db8:64::2"),
    ),
    called="2001:db8:65::2",
    many=("2001:db8:70::/56", "2001:db8:70::1"),
)
IPV4 = Addresses(
    client=("192.175.48.2/24",),
    lan="192.175.48.1/24",
    wan="192.31.196.1/24",
    server="192.31.196.53/24",
    routes=(
        ("client", "default", "192.175.48.1"),
        ("gateway", "192.175.49.0/24", "192.175.48.2"),
    ),
    called="192.31.196.53",
    many=("192.175.49.0/24", "192.175.49.0"),
)
# The client is 192.175.48.2 to the server, without any state.
NAT64 = Addresses(
    client=("2001:db8:64::2/64", "64:ff9b::192.175.48.2/128"),
    lan="2001:db8:64::1/64",
    wan="192.31.196.1/24",
    server="192.31.196.53/24",
    routes=(
        ("client", "64:ff9b::/96", "2001:db8:64::1"),
        ("gateway", "64:ff9b::192.175.48.0/120", "2001:db8:64::2"),
        ("server", "192.175.48.0/24", "192.31.196.1"),
    ),
    called="64:ff9b::192.31.196.53",
)
# The client has an ordinary address, and is one of pool4 to the server.
POOL4 = Addresses(
    client=("2001:db8:64::2/64",),
    lan="2001:db8:64::1/64",
    wan="192.31.196.1/24",
    server="192.31.196.53/24",
    routes=(
        ("client", "64:ff9b::/96", "2001:db8:64::1"),
        ("gateway", "2001:db8:70::/56", "2001:db8:64::2"),
        ("server", "192.175.48.0/24", "192.31.196.1"),
    ),
    called="64:ff9b::192.31.196.53",
    many=("2001:db8:70::/56", "2001:db8:70::1"),
)


@dataclass
class Network(Ends):
    """The three namespaces."""

    hosts: Hosts
    addresses: Addresses
    gateway_pids: list[int] = field(default_factory=list)
    """Of programs that do the gateway's work."""
    flows: int = 0
    """How many new ones there were; each has a number (flows.c)."""

    @property
    def namespaces(self) -> dict[str, str]:
        """By what they are: client, gateway, server."""
        return vars(self.hosts)

    def devices(self) -> list[tuple[str, str]]:
        """Namespace and name of all four, lan0 and wan0 last."""
        outer = [(self.hosts.client, "eth0"), (self.hosts.server, "eth0")]
        return outer + [(self.hosts.gateway, name) for name in ("lan0", "wan0")]

    def gateway_mac(self) -> str:
        """Of the device that faces the client."""
        with netns.inside(self.hosts.gateway):
            return link.get("lan0").mac.hex(":")


def raise_network(stack: ExitStack, prefix: str, addresses: Addresses) -> Network:
    """Namespaces whose names begin with `prefix`, linked and routed. Nothing translates yet."""
    hosts = Hosts(*(f"{prefix}-{what}" for what in ("client", "gw", "server")))
    network = Network(hosts.client, hosts.server, addresses.called, stack, hosts, addresses)
    for namespace in network.namespaces.values():
        raise_namespace(stack, namespace)
    link.create_veth("eth0", "lan0", netns_a=hosts.client, netns_b=hosts.gateway, up=True)
    link.create_veth("eth0", "wan0", netns_a=hosts.server, netns_b=hosts.gateway, up=True)
    forward(hosts.gateway)
    add_addresses(hosts.client, "eth0", *addresses.client)
    add_addresses(hosts.gateway, "lan0", addresses.lan)
    add_addresses(hosts.gateway, "wan0", addresses.wan)
    add_addresses(hosts.server, "eth0", addresses.server)
    if addresses.many is not None:
        with netns.inside(hosts.client):
            sysctl.set("net.ipv6.ip_nonlocal_bind", "1")  # of IPv4 the route is enough
            spaces.command("ip", "route", "add", "local", addresses.many[0], "dev", "lo")
    set_routes(network)
    return network


def set_routes(network: Network, *options: str) -> None:
    """All routes of its addresses; `options` as `ip route` has them, for each."""
    for at, to, via in network.addresses.routes:
        with netns.inside(network.namespaces[at]):
            spaces.command("ip", "route", "replace", to, "via", via, *options)


def set_big_tcp(network: Network, size: int) -> None:
    """Lets packets be that long, in bytes, at all four devices."""
    for namespace, device in network.devices():
        with netns.inside(namespace):
            gso.set_sizes(device, size)


def suit_xdp(network: Network) -> None:
    """What XDP at a veth needs of the devices that face it (`sixlane.lab.offloads` says why)."""
    for namespace, device in network.devices()[:2]:
        with netns.inside(namespace):
            ethtool.set_features(device, {"tx-checksum-ip-generic": False, "rx-gro": True})
