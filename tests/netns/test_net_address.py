# SPDX-License-Identifier: Apache-2.0
"""Addresses: what we add and remove is what `ip address` shows."""

import socket
import time
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network

import pytest

from sixlane.errors import ConfigError, KernelError
from sixlane.net import address, link, route
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root]

V4 = ip_interface("192.31.196.1/24")
V6 = ip_interface("2001:db8::1/64")


@pytest.fixture(autouse=True)
def here() -> Iterator[str]:
    with spaces.inside_new() as name:
        link.create_veth("left", "right", up=True)
        yield name


def _shown(device: str) -> list[str]:
    (seen,) = spaces.ip("address", "show", "dev", device)
    return [f"{info['local']}/{info['prefixlen']}" for info in seen["addr_info"]]


def _ours(device: str) -> list[address.Address]:
    return [a for a in address.list_addresses(device) if a.scope == address.SCOPE_GLOBAL]


def test_addresses_of_both_families_come_and_go() -> None:
    for interface in (V4, V6):
        address.add("left", interface)
        assert str(interface) in _shown("left")
    assert [a.interface for a in _ours("left")] == [V4, V6]
    assert {a.ifindex for a in _ours("left")} == {link.index("left")}
    for interface in (V4, V6):
        address.remove("left", interface)
        assert str(interface) not in _shown("left")
    assert _ours("left") == []


def test_all_devices_are_listed_or_one() -> None:
    address.add("left", V4)
    address.add("right", V6)
    assert {a.ifindex for a in address.list_addresses()} == {
        link.index("left"),
        link.index("right"),
    }
    assert [a.interface for a in _ours("right")] == [V6]


def test_an_address_is_usable_at_once_or_after_detection() -> None:
    address.add("left", V6)
    address.add("left", ip_interface("2001:db8::2/64"), nodad=False)
    assert [a.tentative for a in _ours("left") if a.interface == V6] == [False]
    assert [a.tentative for a in _ours("left") if a.interface != V6] == [True]


def test_an_address_that_somebody_has_is_shown_as_failed() -> None:
    address.add("right", V6)
    address.add("left", V6, nodad=False)
    deadline = time.monotonic() + 5
    while not _ours("left")[0].failed:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_address_may_be_no_source() -> None:
    """The first that was given would be chosen, and of IPv6 the one most like the destination."""
    for family, chosen, left_out, far in (
        (socket.AF_INET, "192.0.2.9", "192.0.2.1", "192.0.2.200"),
        (socket.AF_INET6, "2001:db8:ff::9", "2001:db8::1", "2001:db8::2"),
    ):
        length = 32 if family == socket.AF_INET else 128
        address.add("left", ip_interface(f"{left_out}/{length}"), as_source=False)
        address.add("left", ip_interface(f"{chosen}/{length}"))
        route.add(ip_network(far), dev="left")
        with socket.socket(family, socket.SOCK_DGRAM) as caller:
            caller.connect((far, 9))
            assert caller.getsockname()[0] == chosen
        with socket.socket(family, socket.SOCK_DGRAM) as server:
            server.bind((left_out, 9))  # it is an address all the same
        address.remove("left", ip_interface(f"{left_out}/{length}"))


def test_the_prefix_route_can_be_left_out() -> None:
    address.add("left", V4, prefix_route=False)
    assert spaces.ip("route", "show", "dev", "left") == []
    address.add("right", V4)
    assert [r["dst"] for r in spaces.ip("route", "show", "dev", "right")] == [str(V4.network)]


def test_the_scope_is_told() -> None:
    address.add("left", V6)
    link.set_up("lo")
    assert {a.scope for a in address.list_addresses("lo")} == {address.SCOPE_HOST}
    scopes = {a.interface.ip.is_link_local: a.scope for a in address.list_addresses("left")}
    assert scopes == {True: address.SCOPE_LINK, False: address.SCOPE_GLOBAL}


def test_twice_and_never_are_errors_in_the_kernels_words() -> None:
    address.add("left", V6)
    with pytest.raises(KernelError, match=r"add address 2001:db8::1/64 to device left.*EEXIST"):
        address.add("left", V6)
    with pytest.raises(KernelError, match="EADDRNOTAVAIL"):
        address.remove("left", V4)
    with pytest.raises(ConfigError, match="no device wan0"):
        address.add("wan0", V4)
