# SPDX-License-Identifier: Apache-2.0
"""Neighbours: what we add and remove is what `ip neighbour` shows."""

import re
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

import pytest

from sixlane.errors import ConfigError, KernelError
from sixlane.net import address, link, neigh, netns, sysctl
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root]

MAC = bytes.fromhex("02000000000a")
OTHER_MAC = bytes.fromhex("02000000000b")
BOTH = pytest.mark.parametrize("far", [ip_address("192.31.196.2"), ip_address("2001:db8::2")])


@pytest.fixture(autouse=True)
def there() -> Iterator[str]:
    with spaces.inside_new(), spaces.new() as name:
        # The kernel asks from the link-local address, which detection would hold up for seconds.
        sysctl.set("net.ipv6.conf.default.accept_dad", 0)
        link.create_veth("left", "right", netns_b=name, mac_b=MAC, up=True)
        address.add("left", ip_interface("192.31.196.1/24"))
        address.add("left", ip_interface("2001:db8::1/64"))
        yield name


def test_a_proxy_comes_and_goes(there: str) -> None:
    """And is told from those of others."""
    of4, of6 = ip_address("192.31.197.8"), ip_address("2001:db8:48::8")
    spaces.command("ip", "neighbour", "add", "proxy", "192.31.197.9", "dev", "left")
    spaces.command("ip", "neighbour", "add", "proxy", "2001:db8:48::9", "dev", "left")
    neigh.add_proxies("left", [of4, of6], 64)
    assert neigh.list_proxies(64) == {(link.index("left"), of4), (link.index("left"), of6)}
    shown = spaces.ip("neighbour", "show", "proxy")
    assert sorted(one["dst"] for one in shown) == [
        "192.31.197.8",
        "192.31.197.9",
        "2001:db8:48::8",
        "2001:db8:48::9",
    ]
    for far in (of4, of6):
        neigh.remove_proxy("left", far)
        with pytest.raises(
            KernelError, match=f"remove neighbour proxy {re.escape(str(far))} from device left"
        ):
            neigh.remove_proxy("left", far)
    assert neigh.list_proxies(64) == set()


@BOTH
def test_a_permanent_neighbour_comes_changes_and_goes(far: neigh.IPAddress) -> None:
    for mac in (MAC, OTHER_MAC):
        neigh.add_permanent("left", far, mac)
        (seen,) = spaces.ip("neighbour", "show", str(far))
        assert (seen["dev"], seen["lladdr"]) == ("left", mac.hex(":"))
        assert seen["state"] == ["PERMANENT"]
        found = neigh.find("left", far)
        assert found == neigh.Neighbour(link.index("left"), far, mac, neigh.PERMANENT, False)
        assert found.usable
        assert found in neigh.list_neighbours("left")
    neigh.remove("left", far)
    assert spaces.ip("neighbour", "show", str(far)) == []
    assert neigh.find("left", far) is None


@BOTH
def test_the_kernel_resolves_a_managed_neighbour_by_itself(
    there: str, far: neigh.IPAddress
) -> None:
    with netns.inside(there):
        address.add("right", ip_interface(f"{far}/64" if far.version == 6 else f"{far}/24"))
    neigh.add_managed("left", far)
    assert "managed" in spaces.command("ip", "neighbour", "show", str(far))
    deadline = time.monotonic() + 5
    while True:
        found = neigh.find("left", far)
        assert found is not None
        assert found.managed
        if found.usable:
            break
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert found.mac == MAC
    neigh.remove("left", far)
    assert not [n for n in neigh.list_neighbours() if n.address == far and n.managed]


@BOTH
def test_an_unresolved_neighbour_is_not_usable(far: neigh.IPAddress) -> None:
    neigh.add_managed("left", far)
    found = neigh.find("left", far)
    assert found is not None
    assert (found.mac, found.usable) == (None, False)


@BOTH
def test_a_managed_neighbour_becomes_permanent_and_back(far: neigh.IPAddress) -> None:
    neigh.add_managed("left", far)
    neigh.add_permanent("left", far, MAC)
    found = neigh.find("left", far)
    assert found is not None
    assert not found.managed
    neigh.add_managed("left", far)
    found = neigh.find("left", far)
    assert found is not None
    assert (found.managed, found.state & neigh.PERMANENT) == (True, 0)


def test_neighbours_are_listed_by_device() -> None:
    neigh.add_permanent("left", ip_address("2001:db8::2"), MAC)
    assert neigh.list_neighbours("lo") == []
    assert [n.address for n in neigh.list_neighbours()] == [ip_address("2001:db8::2")]


def test_removing_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KernelError, match=r"remove neighbour 192\.31\.196\.9 .*ENOENT"):
        neigh.remove("left", ip_address("192.31.196.9"))
    with pytest.raises(ConfigError, match="no device wan0"):
        neigh.add_managed("wan0", ip_address("192.31.196.9"))
