# SPDX-License-Identifier: Apache-2.0
"""The lab's plan holds together."""

from collections import Counter
from collections.abc import Sequence
from importlib import resources
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from sixlane.lab.balanced import BACKENDS, BALANCED, CLUSTERS, address4, address6
from sixlane.lab.topology import LAB, SMALL_MTU, Family, Host, Topology
from sixlane.model import Service
from sixlane.model.parse import parse_resources
from sixlane.model.resource import Resource
from sixlane.rfc import rfc6052
from sixlane.sources import files

INTERFACES = [ip_interface(text) for _, end in LAB.ends() for text in end.addresses]
ACTS = (LAB, BALANCED)
HOSTS = [pytest.param(act, host, id=host.name) for act in ACTS for host in act.hosts]


def test_no_two_hosts_have_one_name() -> None:
    assert max(Counter(host.name for act in ACTS for host in act.hosts).values()) == 1


@pytest.mark.parametrize("act", ACTS)
def test_every_end_of_a_link_is_a_device_of_a_host(act: Topology) -> None:
    devices = [(end.host, end.device) for _, end in act.ends()]
    assert {host for host, _ in devices} == {host.name for host in act.hosts}
    assert max(Counter(devices).values()) == 1


@pytest.mark.parametrize("act", ACTS)
def test_no_address_is_given_twice(act: Topology) -> None:
    interfaces = [ip_interface(text) for _, end in act.ends() for text in end.addresses]
    assert max(Counter(interface.ip for interface in interfaces).values()) == 1


def test_ipv4_addresses_may_stand_under_the_well_known_prefix() -> None:
    ipv4 = [interface.ip for interface in INTERFACES if interface.version == 4]
    embedded = [
        rfc6052.extract(rfc6052.WELL_KNOWN, interface.ip)
        for interface in INTERFACES
        if interface.version == 6 and interface.ip in rfc6052.WELL_KNOWN
    ]
    assert ipv4 and embedded
    assert all(rfc6052.is_global(address) for address in [*ipv4, *embedded])


@pytest.mark.parametrize(("act", "host"), HOSTS)
def test_host_speaks_its_family_only(act: Topology, host: Host) -> None:
    addresses = [
        ip_interface(text)
        for _, end in act.ends()
        for text in end.addresses
        if end.host == host.name
    ]
    versions = {interface.version for interface in addresses}
    expected = {Family.IPV4: {4}, Family.IPV6: {6}, Family.BOTH: {4, 6}}
    assert versions == expected[host.family]


@pytest.mark.parametrize(("act", "host"), HOSTS)
def test_every_gateway_is_on_a_link_of_the_host(act: Topology, host: Host) -> None:
    on_link = [
        ip_interface(text).network
        for _, end in act.ends()
        for text in end.addresses
        if end.host == host.name
    ]
    for route in host.routes:
        for via in filter(None, (route.via, route.other)):
            assert any(ip_address(via) in network for network in on_link)
        if route.to != "default":
            ip_network(route.to)


def test_smaller_links_lie_between_routers() -> None:
    small = [link for link in LAB.links if link.mtu == SMALL_MTU]
    assert len(small) == 2
    for link in small:
        assert all(LAB.host(end.host).router for end in link.ends)


@pytest.mark.parametrize(
    ("file", "kinds"),
    [("edge.yaml", ["Gateway", "Dns64"]), ("balance.yaml", ["Gateway", "Service", "Service"])],
)
def test_file_is_what_sixlane_accepts(file: str, kinds: list[str]) -> None:
    assert [resource.kind for resource in _parsed(file)] == kinds


@pytest.mark.parametrize(("name", "hosts"), [("web", BACKENDS), ("clusters", CLUSTERS)])
def test_backends_of_a_service_are_hosts(name: str, hosts: dict[str, int]) -> None:
    (service,) = (one for one in _parsed("balance.yaml") if one.name == name)
    assert isinstance(service, Service)
    weights = {str(one.address): one.weight for one in service.spec.backends}
    for host, weight in hosts.items():
        (found,) = weights.keys() & {address4(host), address6(host)}
        assert weights[found] == weight
    assert len(weights) == len(hosts)


def _parsed(file: str) -> Sequence[Resource]:
    with resources.as_file(resources.files("sixlane.lab") / file) as path:
        documents = files.read([str(path)])
    return parse_resources([document.data for document in documents])
