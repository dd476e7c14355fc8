# SPDX-License-Identifier: Apache-2.0
"""Word of changes: each kind, losses, and closing from another thread."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

import pytest

from sixlane.net import address, link, monitor, neigh, netns, route, sysctl
from sixlane.net.monitor import Monitor
from sixlane.net.unicast import Destination, destination_of
from tests import needs
from tests.netns import spaces
from tests.netns.agents import eventually

pytestmark = [pytest.mark.netns, needs.root]

_QUIET_S = 0.2  # the kernel tells of an address of IPv6 twice, the second time by a worker


@pytest.fixture(autouse=True)
def here() -> Iterator[str]:
    with spaces.inside_new() as name:
        sysctl.set("net.ipv6.conf.default.addr_gen_mode", 1)  # no addresses of the kernel's own
        sysctl.set("net.ipv6.conf.default.accept_dad", 0)  # else word of them comes a second later
        link.create_veth("left", "right", up=True)
        address.add("left", ip_interface("192.31.196.1/24"))
        address.add("left", ip_interface("2001:db8::1/64"))
        # Word of its end would come at any time.
        assert eventually(lambda: not any(one.tentative for one in address.list_addresses("left")))
        yield name


def _news(watch: Monitor) -> set[str]:
    """What is told until all is quiet: some changes have others in their wake, a bit later."""
    told: set[str] = set()
    while watch.wait(_QUIET_S):
        told |= watch.drain()
    return told


def test_each_kind_of_change_is_told_once() -> None:
    with Monitor() as watch:
        _news(watch)
        for change in ("192.31.196.9/32", "2001:db8::9/128"):
            address.add("left", ip_interface(change))
            assert _news(watch) == {"address", "route"}  # the kernel's own route to it
            route.add(ip_network(change), dev="right", metric=9)
            assert _news(watch) == {"route"}
            neigh.add_permanent("right", ip_address(change.split("/")[0]), b"\2\0\0\0\0\1")
            assert _news(watch) == {"neighbour"}
        for version in (4, 6):
            spaces.command("ip", f"-{version}", "rule", "add", "pref", "9", "table", "9")
            assert _news(watch) == {"rule"}
        link.set_alias("left", "news")
        assert watch.drain() == {"link"}
        assert (watch.wait(0), watch.drain()) == (False, set())


def test_next_hop_objects_count_as_routes() -> None:
    with Monitor() as watch:
        _news(watch)
        spaces.command("ip", "nexthop", "add", "id", "1", "via", "192.31.196.2", "dev", "left")
        assert _news(watch) == {"route"}


@pytest.mark.parametrize(
    "route",
    [
        "-4 route add 198.18.0.0/15 nexthop via 192.31.196.2 nexthop via 192.31.196.3",
        "-6 route add 2001:db8:1::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3",
        "-4 route add 198.18.0.0/15 tos 0x10 via 192.31.196.2",
        "-6 route add 2001:db8:1::/48 from 2001:db8:2::/48 via 2001:db8::2",
    ],
)
def test_a_route_by_more_than_its_destination_is_told_apart(route: str) -> None:
    with Monitor() as watch:
        _news(watch)
        spaces.command("ip", *route.split())
        assert _news(watch) == {"route", "multipath"}
        spaces.command("ip", "-4", "route", "add", "198.51.100.0/24", "via", "192.31.196.2")
        assert _news(watch) == {"route"}


def test_a_second_way_beside_the_first_is_told_apart() -> None:
    """IPv6 makes one route of two that came one after the other."""
    with Monitor() as watch:
        _news(watch)
        for last, kinds in (("2", {"route"}), ("3", {"route", "multipath"})):
            way = ["2001:db8:1::/48", "via", f"2001:db8::{last}"]
            spaces.command("ip", "-6", "route", "append", *way)
            assert _news(watch) == kinds


@pytest.mark.parametrize("change", ["add", "del"])
def test_routes_that_it_was_told_to_look_for(change: str) -> None:
    route = ["192.175.48.0/25", "via", "192.31.196.2"]
    if change == "del":
        spaces.command("ip", "route", "add", *route)
    wanted = Destination(4, int(IPv4Address("192.175.48.0")), 25)
    with Monitor(lambda message: destination_of(message) == wanted) as watch:
        _news(watch)
        spaces.command("ip", "route", "add", "198.51.100.0/24", "via", "192.31.196.2")
        assert _news(watch) == {"route"}
        spaces.command("ip", "route", change, *route)
        assert _news(watch) == {"route", "native"}


def test_next_hop_groups_are_told_apart() -> None:
    with Monitor() as watch:
        _news(watch)
        for number in ("1", "2"):
            via = f"192.31.196.{number}0"
            spaces.command("ip", "nexthop", "add", "id", number, "via", via, "dev", "left")
        assert _news(watch) == {"route"}
        spaces.command("ip", "nexthop", "add", "id", "3", "group", "1/2")
        assert _news(watch) == {"route", "multipath"}


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_sysctl_of_a_device_is_told(family: str) -> None:
    with Monitor() as watch:
        _news(watch)
        sysctl.set(("net", family, "conf", "left", "forwarding"), 1)
        assert "setting" in _news(watch)


def test_other_namespaces_are_not_heard() -> None:
    with Monitor() as watch, spaces.new() as elsewhere, netns.inside(elsewhere):
        _news(watch)
        link.set_up("lo")
        assert watch.drain() == set()


def test_a_loss_means_that_everything_changed() -> None:
    with Monitor() as watch:
        watch._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for number in range(200):
            link.set_alias("left", f"number {number}")
        assert watch.drain() == monitor.KINDS
        _news(watch)
        link.set_alias("left", "and it goes on")
        assert watch.drain() == {"link"}


def test_it_is_readable_when_there_is_news() -> None:
    with Monitor() as watch:
        assert watch.fileno() >= 0
        os.fstat(watch.fileno())
        link.set_alias("left", "news")
        assert watch.wait()


def test_closing_wakes_who_waits_in_another_thread() -> None:
    watch = Monitor()
    _news(watch)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(watch.wait(20)))
    thread.start()
    while not watch._users and thread.is_alive():
        time.sleep(0.001)
    watch.close()
    thread.join(5)
    assert answers == [False]
    watch.close()
    assert (watch.fileno(), watch.wait(0), watch.drain()) == (-1, False, set())


def test_draining_and_closing_at_once_is_safe() -> None:
    failures: list[BaseException] = []

    def drain(watch: Monitor) -> None:
        try:
            while watch.fileno() >= 0:
                watch.drain()
                watch.wait(0.001)
        except BaseException as error:
            failures.append(error)

    for _ in range(20):
        watch = Monitor()
        threads = [threading.Thread(target=drain, args=(watch,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        link.set_alias("left", "news")
        watch.close()
        for thread in threads:
            thread.join(5)
    assert failures == []
