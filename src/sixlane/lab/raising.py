# SPDX-License-Identifier: Apache-2.0
"""Build the topology's hosts, and take them down: namespaces, links, addresses, routes."""

import contextlib
import shutil
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from sixlane.lab import programs
from sixlane.lab.place import Place
from sixlane.lab.topology import LAB, Family, Host, Topology
from sixlane.net import address, link, netns, route, sysctl

_IPV4_LOOPBACK = ip_interface("127.0.0.1/8")
# sixlaned may start a resolver again that ends before it does.
_ROUNDS = 3
_EVERYTHING = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


def raise_hosts(place: Place, topology: Topology = LAB) -> None:
    """All its hosts, linked, with addresses and routes. Nothing of this place may exist before."""
    for host in topology.hosts:
        _raise_host(place, host)
    for lab_link in topology.links:
        left, right = lab_link.ends
        link.create_veth(
            left.device,
            right.device,
            netns_a=place.namespace(left.host),
            netns_b=place.namespace(right.host),
            mtu=lab_link.mtu,
            up=True,
        )
    for _, end in topology.ends():
        with netns.inside(place.namespace(end.host)):
            for text in end.addresses:
                address.add(end.device, ip_interface(text))
    for host in topology.hosts:
        with netns.inside(place.namespace(host.name)):
            _add_routes(host)


def take_down_hosts(place: Place, topology: Topology = LAB) -> None:
    """End what runs on the hosts, then remove them and their files. Fine if some are missing."""
    names = [place.namespace(host.name) for host in topology.hosts]
    there = [name for name in names if netns.exists(name)]
    for _ in range(_ROUNDS):
        programs.end_all(pid for name in there for pid in netns.pids(name))
    for name in there:
        netns.remove(name, missing_ok=True)
    for host in topology.hosts:
        shutil.rmtree(place.resolv_conf(host.name).parent, ignore_errors=True)
    with contextlib.suppress(OSError):  # others have files there
        Path("/etc/netns").rmdir()


def _raise_host(place: Place, host: Host) -> None:
    namespace = place.namespace(host.name)
    netns.create(namespace)
    with netns.inside(namespace):
        _set_sysctls(host)
        link.set_up("lo")
        if host.family is Family.IPV6:
            address.remove("lo", _IPV4_LOOPBACK)
    if host.nameserver is not None:
        path = place.resolv_conf(host.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"nameserver {host.nameserver}\noptions timeout:2 attempts:2\n")


def _set_sysctls(host: Host) -> None:
    if host.family is Family.IPV4:
        for scope in ("all", "default"):
            sysctl.set(f"net.ipv6.conf.{scope}.disable_ipv6", 1)
    else:
        for scope in ("all", "default"):
            sysctl.set(f"net.ipv6.conf.{scope}.disable_ipv6", 0)
            sysctl.set(f"net.ipv6.conf.{scope}.accept_dad", 0)  # addresses are usable at once
        sysctl.set("net.ipv6.icmp.ratelimit", 0)  # traceroute asks one host many times
        sysctl.set("net.ipv6.conf.all.forwarding", int(host.router))
    if host.family is not Family.IPV6:
        sysctl.set("net.ipv4.icmp_ratelimit", 0)
        sysctl.set("net.ipv4.ip_forward", int(host.router))
    if any(route.other for route in host.routes):
        for family in ("ipv4", "ipv6"):
            sysctl.set(f"net.{family}.fib_multipath_hash_policy", 1)  # by ports
            sysctl.set(f"net.{family}.conf.all.ignore_routes_with_linkdown", 1)


def _add_routes(host: Host) -> None:
    for wanted in host.routes:
        if wanted.via is None:
            route.add(ip_network(wanted.to), kind=route.UNREACHABLE)
            continue
        via = ip_address(wanted.via)
        to = _EVERYTHING[via.version] if wanted.to == "default" else ip_network(wanted.to)
        if wanted.other is None:
            route.add(to, via=via)
        else:
            hops = ["nexthop", "via", wanted.via, "nexthop", "via", wanted.other]
            netns.run(None, ["ip", "route", "add", str(to), *hops])
