# SPDX-License-Identifier: Apache-2.0
"""Native routes in the tables, without a kernel: every edge, asked as the data path asks."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

import numpy as np
import pytest

from sixlane.datapath import ranges
from sixlane.datapath.layout import EamFlag, Limit, RangeWord
from sixlane.datapath.tables import Tables
from sixlane.errors import ConfigError
from sixlane.model import Gateway
from sixlane.nat64 import Reach
from sixlane.nat64.native import embedded, only_native_by_route
from sixlane.nat64.observe import Device, Observed
from sixlane.nat64.plan import plan_gateway
from sixlane.net.unicast import Destination
from sixlane.rfc import rfc6052
from sixlane.rfc.addresses import AddressMap
from tests.diff.configurations import NATIVE
from tests.unit.nat64.test_plan import SLOW, gateway
from tests.world import prefixes_of

pytestmark = pytest.mark.conformance(10)

ADDRESSES = NATIVE.addresses
DEVICE = Device("wan0", 2, "", True, b"\2\0\0\0\1\2", 1500, True, ())


def gateway_of_native() -> Gateway:
    return gateway(devices=[{"name": "wan0"}], prefixes=prefixes_of(NATIVE))


def tables(spec: Gateway, *native: IPv4Network | IPv6Network) -> Tables:
    plan = plan_gateway(spec, Observed({"wan0": DEVICE}, (), SLOW, 0, None, {}, None, native))
    assert plan.tables is not None
    return plan.tables


TABLES = tables(gateway_of_native(), *NATIVE.native)
TRIE = TABLES.ranges.build()
EAM = TABLES.eam.build()


def edges(*networks: IPv4Network | IPv6Network) -> Iterator[int]:
    """The first and the last address of each, and their neighbours."""
    for network in networks:
        first, last = int(network[0]), int(network[-1])
        yield from (first - 1, first, last, last + 1)


def pool6_of(address: IPv6Address) -> int | None:
    """As pool6_find() in addr.h does."""
    return next(
        (at for at, prefix in enumerate(TABLES.prefixes) if address in prefix.network), None
    )


def is_native(address: IPv6Address) -> bool:
    """As the end of classify_64() in xlat.h."""
    index = pool6_of(address)
    if index is None:
        return False
    ipv4 = rfc6052.extract(TABLES.prefixes[index].network, address)
    return bool(ranges.native_pool6(TRIE, ranges.look_up(TRIE, int(ipv4))) >> index & 1)


def mapping6(address: IPv6Address) -> tuple[IPv4Address, bool] | None:
    """What eam6_map() in addr.h says: the IPv4 address, and whether it is remote."""
    number = int(address)
    for length in TABLES.eam_lengths6:
        masked = number >> (128 - length) << (128 - length)
        for key, value in zip(EAM.keys6, EAM.values6, strict=True):
            there = int(key["addr"]["hi"]) << 64 | int(key["addr"]["lo"])
            if key["len"] == length and there == masked:
                suffix = (number << length & (1 << 128) - 1) >> 96
                ipv4 = int(value["addr4"]) | (
                    suffix >> int(value["len4"]) if value["len4"] < 32 else 0
                )
                return IPv4Address(ipv4), bool(value["flags"] & EamFlag.EAM_REMOTE)
    return None


def test_what_is_served() -> None:
    known = [network for prefix in NATIVE.prefixes for network in prefix.serves()]
    routes = [one for one in NATIVE.native if isinstance(one, IPv4Network)]
    passed = set()
    for number in edges(*known, *routes):
        address = IPv4Address(number)
        index = ranges.look_up(TRIE, number) & RangeWord.RANGE_SERVED_MASK
        entry = ADDRESSES.serving(address)
        assert (TABLES.prefixes[index - 1].name if index else None) == (entry and entry.name), (
            address
        )
        if entry is None and any(address in network for network in known):
            passed.add(str(address))
    assert {"192.175.48.32", "192.175.48.40", "192.175.48.73", "203.0.113.128"} <= passed
    assert not {"192.175.48.0", "192.175.48.64", "192.175.48.72"} & passed


def test_what_is_native_under_pool6() -> None:
    routes = [one for one in NATIVE.native if isinstance(one, IPv6Network)]
    mapped = [eam.ipv4 for prefix in NATIVE.prefixes for eam in prefix.eam]
    served = [network for prefix in NATIVE.prefixes for network in prefix.ipv4]
    forms = [
        rfc6052.embed(prefix.network, IPv4Address(number))
        for prefix in NATIVE.prefixes
        for number in edges(*mapped, *served)
    ]
    asked = [*forms, *map(IPv6Address, edges(*routes))]
    for address in asked:
        assert is_native(address) == ADDRESSES.is_native(address), address
    assert {True, False} == {is_native(one) for one in asked if any(one in net for net in routes)}


def test_holes_in_remote_mappings() -> None:
    routes = [one for one in NATIVE.native if isinstance(one, IPv6Network)]
    remote = [eam.ipv6 for prefix in NATIVE.prefixes for eam in prefix.eam if eam.remote]
    holes = 0
    for address in map(IPv6Address, edges(*routes, *remote)):
        found = mapping6(address)
        if pool6_of(address) is None:
            assert bool(found and found[1]) == ADDRESSES.is_ours(address), address
            assert (found and found[0]) == ADDRESSES.to_ipv4(address), address
            holes += found is not None and not found[1]
    assert holes


def test_packets_of_ipv4_know_nothing_of_holes() -> None:
    plain = tables(gateway_of_native()).eam.build()
    assert len(EAM.keys6) > len(EAM.keys4)
    assert np.array_equal(EAM.keys4, plain.keys4)
    assert np.array_equal(EAM.values4, plain.values4)


def test_the_digests_tell_of_routes_and_prefixes() -> None:
    spec = gateway_of_native()
    route = ip_network("64:ff9b::192.175.48.64/127")
    assert tables(spec, route).ranges.digest != tables(spec).ranges.digest
    assert tables(spec, route).eam.digest == tables(spec).eam.digest
    hole = ip_network("2001:db8:fff::4000/114")
    assert tables(spec, hole).eam.digest != tables(spec).eam.digest
    one, other = (
        gateway(
            devices=[{"name": "wan0"}],
            prefixes=[
                {"name": "a", "prefix": "2001:db8:1::/96", "ipv4": ["198.51.100.0/25"]},
                {"name": "b", "prefix": second, "ipv4": ["198.51.100.128/25"]},
            ],
        )
        for second in ("2001:db8:1::/96", "2001:db8:2::/96")
    )
    assert tables(one).ranges.digest != tables(other).ranges.digest


def test_which_routes_are_told_of() -> None:
    """Those to nodes inside by their own addresses go without saying."""
    prefixes = gateway_of_native().spec.prefixes
    nodes = ["64:ff9b::192.175.48.64/123", "64:ff9b::192.175.48.160/125", "64:ff9b::c0af:3109/128"]
    others = [
        *("64:ff9b::192.175.48.0/119", "64:ff9b::192.52.193.33/128", "3fff:32:c633:6410:8000::/66"),
        *("192.175.48.128/26", "2001:db8:fff::4000/114"),
    ]
    native = [ip_network(one) for one in (*nodes, *others)]
    assert only_native_by_route(prefixes, native) == native[len(nodes) :]


@pytest.mark.parametrize(
    ("pool6", "route", "ipv4"),
    [
        ("64:ff9b::/96", "64:ff9b::192.0.2.0/120", "192.0.2.0/24"),
        ("64:ff9b::/96", "64:ff9b::192.0.2.1/128", "192.0.2.1/32"),
        ("3fff:32::/32", "3fff:32:c000::/34", "192.0.0.0/2"),
        ("3fff:32::/32", "3fff:32:c000:201::/64", "192.0.2.1/32"),
        ("3fff:32::/32", "3fff:32:c000:201::/128", "192.0.2.1/32"),
        ("3fff:32::/32", "3fff:32:c000:201::1/128", None),
        ("3fff:48:48::/48", "3fff:48:48:c000::/64", "192.0.0.0/16"),
        ("3fff:48:48::/48", "3fff:48:48:c000::/72", "192.0.0.0/16"),
        ("3fff:48:48::/48", "3fff:48:48:c000:2::/80", "192.0.2.0/24"),
        ("3fff:48:48::/48", "3fff:48:48:c000:8000::/66", None),
        ("3fff:64:64:64::/64", "3fff:64:64:64::/70", "0.0.0.0/0"),
        ("3fff:64:64:64::/64", "3fff:64:64:64:c0::/80", "192.0.0.0/8"),
    ],
)
def test_routes_as_networks_of_ipv4(pool6: str, route: str, ipv4: str | None) -> None:
    found = embedded(IPv6Network(route), IPv6Network(pool6))
    assert found == (ipv4 and IPv4Network(ipv4))


def test_more_lengths_of_holes_than_there_is_room_for() -> None:
    spec = gateway(
        devices=[{"name": "wan0"}],
        prefixes=[
            {
                "name": "a",
                "prefix": "64:ff9b::/96",
                "ipv4": [],
                "eam": [{"ipv4": "192.0.2.0/24", "ipv6": "2001:db8::/64", "remote": True}],
            }
        ],
    )
    routes = [
        IPv6Network((int(IPv6Address("2001:db8::")), length)) for length in range(65, 65 + 32)
    ]
    assert len(tables(spec, *routes[:-1]).eam_lengths6) == Limit.MAX_EAM_LENGTHS
    with pytest.raises(ConfigError, match="33 different lengths, native routes"):
        tables(spec, *routes)


REACH = [
    ("192.175.48.0/24", False),
    ("192.175.48.0/25", True),
    ("192.175.0.0/16", False),
    ("192.175.49.9/32", False),
    ("192.175.48.72/32", True),
    ("192.52.193.1/32", False),
    ("8.8.8.8/32", False),
    ("64:ff9b::/96", False),
    ("64:ff9b::/97", True),
    ("64:ff9b::/64", False),
    ("2001:db8:fff::/112", False),
    ("2001:db8:fff::/113", True),
    ("2001:db8:a::/80", False),
]


@pytest.mark.parametrize(("network", "inside"), REACH)
def test_which_routes_matter(network: str, inside: bool) -> None:
    net: Any = ip_network(network)
    one = Destination(net.version, int(net.network_address), net.prefixlen)
    assert Reach.of(gateway_of_native()).has(one) is inside
    assert Reach.of(None).has(one) is False


def test_without_routes_nothing_is_different() -> None:
    """But nodes inside, by their own addresses."""
    plain = AddressMap(NATIVE.prefixes)
    trie = tables(gateway_of_native()).ranges.build()
    for number in edges(*(network for prefix in NATIVE.prefixes for network in prefix.ipv4)):
        served = bool(ranges.look_up(trie, number) & RangeWord.RANGE_SERVED_MASK)
        assert served == (plain.serving(IPv4Address(number)) is not None)
