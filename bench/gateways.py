# SPDX-License-Identifier: Apache-2.0
"""What stands between client and server: sixlane, and what it is measured beside."""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.network import (
    IPV4,
    IPV6,
    NAT64,
    POOL4,
    Addresses,
    Network,
    raise_network,
    set_big_tcp,
    set_routes,
    suit_xdp,
)
from sixlane.datapath import Datapath
from sixlane.net import netns, sysctl
from tests.netns import spaces
from tests.netns.edge import Edge, Kept

PLAIN = "plain"
MASQUERADE = "nftables NAT44"
# As much as iperf3 writes at once; of 96 to 512 KiB by far the fastest (decision 0013).
BIG_BYTES = 131_072
# The kernel counts the jumbo header of BIG TCP, 8 bytes, into each segment that it forwards.
_BIG_SEGMENT = 1500 - 40 - 20 - 8
_MASQUERADE = """
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "wan0" masquerade
    }
}
"""
_TAYGA = """
tun-device tayga0
ipv4-addr 192.31.197.1
ipv6-addr 2001:db8:66::1
prefix 64:ff9b::/96
data-dir {directory}
"""


@dataclass(frozen=True)
class Variant:
    """`prepare` suits the devices, before `translate` makes the gateway what it is. `baseline` is
    the name of the variant that it is compared with."""

    name: str
    baseline: str | None
    addresses: Addresses
    translate: Callable[[Network], None]
    prepare: tuple[Callable[[Network], None], ...] = ()


def raise_variant(stack: ExitStack, number: int, variant: Variant) -> Network:
    """Its namespaces, with the gateway at work; `number` is in their names."""
    network = raise_network(stack, f"sl-b{os.getpid()}-{number}", variant.addresses)
    for step in variant.prepare:
        step(network)
    variant.translate(network)
    return network


def _nothing(network: Network) -> None:
    """The kernel forwards."""


_STATEFUL: dict[str, Any] = {
    "prefixes": [{"name": "all", "prefix": "64:ff9b::/96", "ipv4": []}],
    "pool4": [
        {"name": "pods", "ipv4": ["192.175.48.128/25"], "portBlocks": {"size": 1024}},
    ],
    "sessions": {"max": {"sessions": 1 << 21, "bindings": 1 << 21, "clients": 4096}},
}


def _sixlane(attach: str, **spec: Any) -> Callable[[Network], None]:
    """As its agent would do it, without an agent."""

    def translate(network: Network) -> None:
        hosts = network.hosts
        pins = Path(f"/sys/fs/bpf/{hosts.gateway}")
        with netns.inside(hosts.gateway):
            datapath = network.stack.enter_context(Datapath.open(pins))
        Edge(hosts.client, hosts.gateway, hosts.server, datapath, Kept()).apply(attach, **spec)

    return translate


def forget_soon(network: Network) -> None:
    """Has the kernel forget connections soon that are over: else its table is full of them."""
    with netns.inside(network.hosts.gateway):
        for what in ("tcp_timeout_close", "udp_timeout"):
            sysctl.set(f"net.netfilter.nf_conntrack_{what}", "1")


def _masquerade(network: Network) -> None:
    forget_soon(network)
    netns.run(network.hosts.gateway, ("nft", "--file", "-"), input=_MASQUERADE)


def _tayga(network: Network) -> None:
    """It stays in the foreground, on whichever CPU is free."""
    directory = network.stack.enter_context(tempfile.TemporaryDirectory(prefix="sixlane-bench-"))
    configuration = Path(directory, "tayga.conf")
    configuration.write_text(_TAYGA.format(directory=directory))
    command = ("tayga", "--config", str(configuration))
    gateway = network.hosts.gateway
    netns.run(gateway, (*command, "--mktun"))
    with netns.inside(gateway):
        spaces.command("ip", "link", "set", "tayga0", "up")
        spaces.command("ip", "route", "add", "192.175.48.0/24", "dev", "tayga0")
        spaces.command("ip", "route", "add", "64:ff9b::/96", "dev", "tayga0")
    network.gateway_pids.append(network.keep(gateway, *command, "--nodetach"))


def _big_tcp(network: Network) -> None:
    set_big_tcp(network, BIG_BYTES)


def _shorter_segments(network: Network) -> None:
    """Without them BIG TCP collapses where the kernel forwards it; sixlane sees to that itself."""
    set_routes(network, "advmss", str(_BIG_SEGMENT))


VARIANTS = (
    Variant(PLAIN, None, IPV6, _nothing),
    Variant("sixlane tc", PLAIN, NAT64, _sixlane("tc")),
    Variant(MASQUERADE, PLAIN, IPV4, _masquerade),
    Variant("Tayga", PLAIN, NAT64, _tayga),
    Variant("plain, suited to xdp", PLAIN, IPV6, _nothing, (suit_xdp,)),
    Variant("sixlane xdp", PLAIN, NAT64, _sixlane("xdp"), (suit_xdp,)),
    Variant("sixlane tc, pool4", PLAIN, POOL4, _sixlane("tc", **_STATEFUL)),
    Variant("sixlane xdp, pool4", PLAIN, POOL4, _sixlane("xdp", **_STATEFUL), (suit_xdp,)),
)
BIG_VARIANTS = (
    Variant("plain, BIG TCP", PLAIN, IPV6, _nothing, (_big_tcp, _shorter_segments)),
    Variant("sixlane tc, BIG TCP", PLAIN, NAT64, _sixlane("tc"), (_big_tcp,)),
)
