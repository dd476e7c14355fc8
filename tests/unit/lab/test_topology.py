# SPDX-License-Identifier: Apache-2.0
"""The lab's plan holds together."""

from collections import Counter
from importlib import resources
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from sixlane.lab.topology import LAB, SMALL_MTU, Family, Host
from sixlane.model.parse import parse_resources
from sixlane.rfc import rfc6052
from sixlane.sources import files

INTERFACES = [ip_interface(text) for _, end in LAB.ends() for text in end.addresses]


def test_every_end_of_a_link_is_a_device_of_a_host() -> None:
    devices = [(end.host, end.device) for _, end in LAB.ends()]
    assert {host for host, _ in devices} == {host.name for host in LAB.hosts}
    assert max(Counter(devices).values()) == 1


def test_no_address_is_given_twice() -> None:
    assert max(Counter(interface.ip for interface in INTERFACES).values()) == 1


def test_ipv4_addresses_may_stand_under_the_well_known_prefix() -> None:
    ipv4 = [interface.ip for interface in INTERFACES if interface.version == 4]
    embedded = [
        rfc6052.extract(rfc6052.WELL_KNOWN, interface.ip)
        for interface in INTERFACES
        if interface.version == 6 and interface.ip in rfc6052.WELL_KNOWN
    ]
    assert ipv4 and embedded
    assert all(rfc6052.is_global(address) for address in [*ipv4, *embedded])


@pytest.mark.parametrize("host", LAB.hosts, ids=lambda host: host.name)
def test_host_speaks_its_family_only(host: Host) -> None:
    addresses = [
        ip_interface(text)
        for _, end in LAB.ends()
        for text in end.addresses
        if end.host == host.name
    ]
    versions = {interface.version for interface in addresses}
    expected = {Family.IPV4: {4}, Family.IPV6: {6}, Family.BOTH: {4, 6}}
    assert versions == expected[host.family]


@pytest.mark.parametrize("host", LAB.hosts, ids=lambda host: host.name)
def test_every_gateway_is_on_a_link_of_the_host(host: Host) -> None:
    on_link = [
        ip_interface(text).network
        for _, end in LAB.ends()
        for text in end.addresses
        if end.host == host.name
    ]
    for route in host.routes:
        if route.via is not None:
            assert any(ip_address(route.via) in network for network in on_link)
        if route.to != "default":
            ip_network(route.to)


def test_smaller_links_lie_between_routers() -> None:
    small = [link for link in LAB.links if link.mtu == SMALL_MTU]
    assert len(small) == 2
    for link in small:
        assert all(LAB.host(end.host).router for end in link.ends)


def test_edge_file_is_what_sixlane_accepts() -> None:
    with resources.as_file(resources.files("sixlane.lab") / "edge.yaml") as path:
        documents = files.read([str(path)])
    parsed = parse_resources([document.data for document in documents])
    assert [resource.kind for resource in parsed] == ["Gateway", "Dns64"]
