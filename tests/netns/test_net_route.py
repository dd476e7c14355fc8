# SPDX-License-Identifier: Apache-2.0
"""Routes: what we add and remove is what `ip route` shows."""

import errno
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from sixlane.errors import ConfigError, KernelError
from sixlane.net import address, link, route
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root]

GATEWAY4 = ip_address("192.31.196.2")
GATEWAY6 = ip_address("2001:db8::2")
FAR4 = ip_network("198.18.0.0/15")
FAR6 = ip_network("2001:db8:1::/48")


@pytest.fixture(autouse=True)
def here() -> Iterator[str]:
    with spaces.inside_new() as name:
        link.create_veth("left", "right", up=True)
        address.add("left", ip_interface("192.31.196.1/24"))
        address.add("left", ip_interface("2001:db8::1/64"))
        yield name


def _shown(dst: route.Network, *more: str) -> dict[str, Any]:
    text = "default" if dst.prefixlen == 0 else str(dst)
    (seen,) = spaces.ip(f"-{dst.version}", "-N", "route", "show", "exact", text, *more)
    return seen


@pytest.mark.parametrize(("dst", "via"), [(FAR4, GATEWAY4), (FAR6, GATEWAY6)])
def test_a_route_comes_and_goes(dst: route.Network, via: route.IPAddress) -> None:
    route.add(dst, via=via, dev="left", mtu=1400, proto=99, metric=7)
    seen = _shown(dst)
    assert (seen["gateway"], seen["dev"], seen["metric"]) == (str(via), "left", 7)
    assert seen["protocol"] == "99"
    assert seen["metrics"] == [{"mtu": 1400}]
    assert route.list_routes(version=dst.version, proto=99) == [
        route.Route(
            dst=dst,
            gateway=via,
            ifindex=link.index("left"),
            table=route.TABLE_MAIN,
            mtu=1400,
            mtu_locked=False,
            protocol=99,
            type=route.UNICAST,
            metric=7,
            source=None,
            onlink=False,
            multipath=False,
        )
    ]
    route.remove(dst, via=via, dev="left", proto=99, metric=7)
    assert spaces.ip(f"-{dst.version}", "route", "show", "exact", str(dst)) == []


@pytest.mark.parametrize(("text", "via"), [("0.0.0.0/0", GATEWAY4), ("::/0", GATEWAY6)])
def test_the_default_route_is_the_one_to_everything(text: str, via: route.IPAddress) -> None:
    everything = ip_network(text)
    route.add(everything, via=via)
    assert _shown(everything)["gateway"] == str(via)
    assert everything in [seen.dst for seen in route.list_routes()]
    route.remove(everything)
    assert everything not in [seen.dst for seen in route.list_routes()]


@pytest.mark.parametrize(("dst", "via"), [(FAR4, GATEWAY4), (FAR6, GATEWAY6)])
def test_the_mtu_can_be_locked(dst: route.Network, via: route.IPAddress) -> None:
    route.add(dst, via=via, mtu=1300, mtu_lock=True)
    assert "mtu lock 1300" in spaces.command("ip", f"-{dst.version}", "route", "show", str(dst))
    (seen,) = [seen for seen in route.list_routes() if seen.dst == dst]
    assert (seen.mtu, seen.mtu_locked) == (1300, True)


def test_an_ipv4_destination_may_have_an_ipv6_gateway() -> None:
    route.add(FAR4, via=GATEWAY6, dev="left")
    assert _shown(FAR4)["via"] == {"family": "inet6", "host": str(GATEWAY6)}
    assert [s.gateway for s in route.list_routes(version=4) if s.dst == FAR4] == [GATEWAY6]


def test_a_gateway_off_the_link_needs_onlink() -> None:
    for dst, text in ((FAR4, "203.0.113.1"), (FAR6, "2001:db8:ffff::1")):
        with pytest.raises(KernelError) as caught:
            route.add(dst, via=ip_address(text), dev="left")
        assert caught.value.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)
        route.add(dst, via=ip_address(text), dev="left", onlink=True)
        assert "onlink" in _shown(dst)["flags"]


@pytest.mark.parametrize("table", [100, 100_000])
def test_tables_are_kept_apart(table: int) -> None:
    route.add(FAR4, dev="left", table=table)
    assert _shown(FAR4, "table", str(table))["scope"] == "253"
    assert [seen.dst for seen in route.list_routes(table=table)] == [FAR4]
    assert FAR4 not in [seen.dst for seen in route.list_routes()]
    assert FAR4 in [seen.dst for seen in route.list_routes(table=None)]
    assert route.list_routes(table=101) == []
    route.remove(FAR4, table=table)
    assert route.list_routes(table=table) == []


def test_a_route_may_lead_nowhere() -> None:
    for number, kind in enumerate((route.BLACKHOLE, route.UNREACHABLE, route.PROHIBIT)):
        for text in (f"198.51.{number}.0/24", f"2001:db8:{number + 1:x}::/48"):
            dst = ip_network(text)
            route.add(dst, kind=kind)
            assert _shown(dst)["type"] == str(kind)
            assert route.lookup(dst[1]) is None
            route.remove(dst)


def test_replacing_puts_one_in_the_place_of_another() -> None:
    for dst, via in ((FAR4, GATEWAY4), (FAR6, GATEWAY6)):
        route.add(dst, via=via, mtu=1400)
        with pytest.raises(KernelError, match="EEXIST"):
            route.add(dst, via=via, mtu=1300)
        route.add(dst, via=via, mtu=1300, replace=True)
        assert _shown(dst)["metrics"] == [{"mtu": 1300}]


def test_the_source_address_is_set() -> None:
    for dst, via, text in ((FAR4, GATEWAY4, "192.31.196.1"), (FAR6, GATEWAY6, "2001:db8::1")):
        route.add(dst, via=via, dev="left", source=ip_address(text))
        assert _shown(dst)["prefsrc"] == text


def test_lookup_tells_the_way_of_one_address() -> None:
    for dst, via in ((FAR4, GATEWAY4), (FAR6, GATEWAY6)):
        assert route.lookup(dst[9]) is None
        route.add(dst, via=via, mtu=1400)
        found = route.lookup(dst[9])
        assert found is not None
        assert (found.gateway, found.ifindex) == (via, link.index("left"))
        assert (found.mtu, found.dst) == (1400, ip_network(f"{dst[9]}"))
    local = route.lookup(ip_address("2001:db8::1"))
    assert local is not None
    assert local.type == route.LOCAL


def test_routes_are_listed_by_device_and_version() -> None:
    address.add("right", ip_interface("198.18.0.1/15"))
    assert [seen.dst for seen in route.list_routes(dev="right", version=4)] == [FAR4]
    assert {seen.dst.version for seen in route.list_routes(version=6)} == {6}


def test_several_next_hops_are_told() -> None:
    for dst, via in ((FAR4, "192.31.196."), (FAR6, "2001:db8::")):
        hops = [word for n in (2, 3) for word in ("nexthop", "via", f"{via}{n}")]
        spaces.command("ip", f"-{dst.version}", "route", "add", str(dst), *hops)
        (seen,) = [seen for seen in route.list_routes() if seen.dst == dst]
        assert (seen.multipath, seen.gateway) == (True, ip_address(f"{via}2"))


def test_removing_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KernelError, match=r"remove route 198\.18\.0\.0/15.*ESRCH"):
        route.remove(FAR4)
    with pytest.raises(ConfigError, match="no device wan0"):
        route.add(FAR4, dev="wan0")
