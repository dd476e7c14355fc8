# SPDX-License-Identifier: Apache-2.0
"""Routes to other machines, read from the kernel."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from sixlane.net import unicast
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root]


@pytest.fixture(autouse=True)
def here() -> Iterator[str]:
    with spaces.inside_new_with_link() as name:
        spaces.command("ip", "link", "set", "lo", "up")
        yield name


def _ip(text: str) -> None:
    spaces.command("ip", *text.split())


def found() -> list[str]:
    """Without link-local and multicast networks, which each device has."""
    return [
        f"{ip_address(one.address if one.version == 4 else one.address.to_bytes(16))}/{one.length}"
        for one in unicast.destinations(lambda one: one.version == 4 or one.address >> 120 < 0xFE)
    ]


CONNECTED = ["192.31.196.0/24", "2001:db8::/64"]


def test_networks_of_own_addresses() -> None:
    assert found() == CONNECTED


def test_only_those_that_are_wanted() -> None:
    wanted = ip_network("192.31.196.0/24")
    (one,) = unicast.destinations(lambda one: one.version == 4)
    assert one == (4, int(wanted.network_address), 24)


@pytest.mark.parametrize(
    "route",
    [
        "default via 192.31.196.2",
        "default via 2001:db8::2",
        "blackhole 198.18.0.0/24",
        "unreachable 198.18.0.0/24",
        "prohibit 2001:db8:1::/64",
        "local 198.18.0.0/24 dev lo",
        "198.18.0.0/24 dev lo",
        "198.18.0.0/24 via 192.31.196.2 table 100",
        "2001:db8:1::/64 via 2001:db8::2 table 1000",
    ],
)
def test_what_leads_to_no_other_machine_of_ours(route: str) -> None:
    _ip(f"-6 route add {route}" if ":" in route else f"route add {route}")
    assert found() == CONNECTED


@pytest.mark.parametrize(
    ("route", "network"),
    [
        ("198.18.0.0/24 via 192.31.196.2", "198.18.0.0/24"),
        ("198.18.0.1 via 192.31.196.2 metric 7", "198.18.0.1/32"),
        ("198.18.0.0/24 nexthop via 192.31.196.2 nexthop via 192.31.196.3", "198.18.0.0/24"),
        ("198.18.0.0/24 via inet6 2001:db8::2 dev left", "198.18.0.0/24"),
        ("2001:db8:1::/64 via 2001:db8::2", "2001:db8:1::/64"),
    ],
)
def test_routes_to_others(route: str, network: str) -> None:
    _ip(f"route add {route}")
    assert sorted(set(found()) - set(CONNECTED)) == [network]


def test_a_next_hop_object() -> None:
    _ip("nexthop add id 7 via 192.31.196.2 dev left")
    _ip("route add 198.18.0.0/24 nhid 7")
    assert "198.18.0.0/24" in found()


@pytest.mark.parametrize("table", [100, 1000])
def test_tables_that_a_rule_asks_for_all_packets(table: int) -> None:
    _ip(f"route add 198.18.0.0/24 via 192.31.196.2 table {table}")
    _ip(f"rule add pref 100 from 192.31.196.0/24 table {table}")
    assert found() == CONNECTED
    _ip(f"rule add pref 101 table {table}")
    assert sorted(set(found()) - set(CONNECTED)) == ["198.18.0.0/24"]


def test_two_routes_to_one_network_are_one() -> None:
    _ip("route add 198.18.0.0/24 via 192.31.196.2 metric 1")
    _ip("route add 198.18.0.0/24 via 192.31.196.3 metric 2")
    assert found().count("198.18.0.0/24") == 1


def test_a_device_that_is_down_leads_nowhere() -> None:
    _ip("route add 198.18.0.0/24 via 192.31.196.2")
    _ip("link set left down")
    assert found() == []
