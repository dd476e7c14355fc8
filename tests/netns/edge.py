# SPDX-License-Identifier: Apache-2.0
"""The smallest gateway: an IPv4 client, an IPv6 server, and the data path between, no agent."""

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from typing import Any

from sixlane.datapath import Datapath
from sixlane.datapath.pins import namespace_name
from sixlane.model import Gateway, parse_resource
from sixlane.nat64 import (
    apply_gateway,
    observe_gateway,
    plan_gateway,
    remove_slow_path,
    restore_originals,
)
from sixlane.net import address, ethtool, link, netns, route, sysctl
from tests.stock import kind_of
from tests.world import stock

CLIENT = "192.31.196.10"
SERVER = "192.175.48.10"
CLIENT6 = f"64:ff9b::{CLIENT}"
SERVER6 = f"64:ff9b::{SERVER}"


_numbers = itertools.count()


@dataclass
class Kept:
    """Originals in memory."""

    values: dict[str, str] = field(default_factory=dict)

    def remember(self, key: str, value: str) -> None:
        self.values.setdefault(key, value)

    def items(self) -> list[tuple[str, str]]:
        return list(self.values.items())

    def forget(self, key: str) -> None:
        self.values.pop(key, None)


@dataclass
class Hosts:
    """Names of the three namespaces. The client's eth0 leads to wan0, the server's to lan0."""

    client: str
    gateway: str
    server: str


@dataclass
class Edge(Hosts):
    """With the data path of the middle one."""

    datapath: Datapath
    originals: Kept

    def apply(self, attach: str, **spec: Any) -> None:
        """Puts a Gateway in force; `spec` replaces what it has by default."""
        with netns.inside(self.gateway):
            plan = plan_gateway(gateway_of(attach, **spec), observe_gateway(self.datapath))
            apply_gateway(self.datapath, plan, self.originals)

    def reasons(self) -> dict[str, int]:
        """Packets by reason, those that are not zero."""
        counted = self.datapath.counters().reasons
        return {name: one.packets for name, one in counted.items() if one.packets}


def gateway_of(attach: str, **spec: Any) -> Gateway:
    default = {
        "devices": [{"name": name, "attach": attach} for name in ("wan0", "lan0")],
        "prefixes": [{"name": "all", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/24"]}],
    }
    parsed = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Gateway",
            "metadata": {"name": "edge"},
            "spec": default | spec,
        }
    )
    assert isinstance(parsed, Gateway)
    return parsed


@contextlib.contextmanager
def raise_hosts(attach: str) -> Iterator[Hosts]:
    """Client, gateway and server with their addresses and routes, nothing translating."""
    word = f"sl-e{os.getpid()}-{next(_numbers)}"
    hosts = Hosts(*(f"{word}-{name}" for name in ("client", "gw", "server")))
    made = []
    try:
        for name in (hosts.client, hosts.gateway, hosts.server):
            netns.create(name)
            made.append(name)
        _wire(hosts.client, hosts.gateway, hosts.server, complete_checksums=attach != "tc")
        yield hosts
    finally:
        for name in made:
            netns.remove(name, missing_ok=True)


@contextlib.contextmanager
def raise_edge(attach: str, **spec: Any) -> Iterator[Edge]:
    """Client, gateway and server, translating; all gone afterwards."""
    pins = Path(f"/sys/fs/bpf/sl-e{os.getpid()}-{next(_numbers)}")
    try:
        with raise_hosts(attach) as hosts, contextlib.ExitStack() as stack:
            with netns.inside(hosts.gateway):
                stack.enter_context(stock.lent(pins, kind_of(gateway_of(attach, **spec))))
                datapath = Datapath.open(pins)
            with datapath:
                edge = Edge(hosts.client, hosts.gateway, hosts.server, datapath, Kept())
                edge.apply(attach, **spec)
                yield edge
                with netns.inside(hosts.gateway):
                    plan = plan_gateway(None, observe_gateway(datapath))
                    apply_gateway(datapath, plan, edge.originals)
                    restore_originals(edge.originals)
                    remove_slow_path(namespace_name(datapath.root))
            with netns.inside(hosts.gateway):
                Datapath.remove(pins)
    finally:
        netns.remove(namespace_name(pins), missing_ok=True)
        shutil.rmtree(pins, ignore_errors=True)


def _wire(client: str, gateway: str, server: str, *, complete_checksums: bool) -> None:
    for host in (client, server, gateway):
        with netns.inside(host):
            sysctl.set("net.ipv6.conf.default.accept_dad", "0")
            link.set_up("lo")
    link.create_veth("eth0", "wan0", netns_a=client, netns_b=gateway, up=True)
    link.create_veth("eth0", "lan0", netns_a=server, netns_b=gateway, up=True)
    with netns.inside(client):
        address.add("eth0", IPv4Interface(f"{CLIENT}/24"))
        route.add(IPv4Network("0.0.0.0/0"), via=IPv4Address("192.31.196.1"))
    with netns.inside(server):
        address.add("eth0", IPv6Interface("2001:db8::2/64"))
        address.add("eth0", IPv6Interface(f"{SERVER6}/128"))
        route.add(IPv6Network("64:ff9b::/96"), via=IPv6Address("2001:db8::1"))
    with netns.inside(gateway):
        address.add("wan0", IPv4Interface("192.31.196.1/24"))
        address.add("lan0", IPv6Interface("2001:db8::1/64"))
        route.add(IPv6Network("64:ff9b::192.175.48.0/120"), via=IPv6Address("2001:db8::2"))
    for host in (client, server) if complete_checksums else ():
        with netns.inside(host):
            ethtool.set_feature("eth0", "tx-checksum-ip-generic", on=False)
            ethtool.set_feature("eth0", "rx-gro", on=True)
