# SPDX-License-Identifier: Apache-2.0
"""What is announced of pool4 and of services, and what of it changes, without a kernel."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr

from sixlane.model import Service, parse_resource
from sixlane.nat64 import asks_of_pools, asks_of_services, plan_gateway
from sixlane.nat64.announce import Announcement, Unannounced
from sixlane.nat64.announced import NOTHING, Announced
from sixlane.nat64.asked import Ask
from sixlane.nat64.observe import Device
from sixlane.nat64.plan import Beside
from sixlane.nat64.settings import EVERY
from sixlane.net import nd
from tests.unit.nat64.test_plan import SLOW, device, gateway, observed

WAN = device("wan0", 2, "10.0.0.2", "2001:db8:a::2")
LAN = device("lan0", 3, "2001:db8:b::2")
V4, V6 = ip_network("10.0.0.200/32"), ip_network("2001:db8:a::200/128")
POOL = {"name": "pods", "ipv4": ["192.31.197.8/31"], "announce": "l2"}
POOL_NETWORK = ip_network("192.31.197.8/31")
NEAR = SLOW.ifindex


def service(announce: str, *addresses: str, name: str = "web") -> Service:
    found = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "frontends": [
                    {"address": address, "port": port}
                    for address in addresses or (str(V4[0]), str(V6[0]))
                    for port in (80, 443)
                ],
                "announce": announce,
            },
        }
    )
    assert isinstance(found, Service)
    return found


def announcement(*services: Service, devices: tuple[Device, ...] = (WAN, LAN)) -> Announcement:
    return Announcement.of(asks_of_services(services), devices)


def test_who_asks_for_what() -> None:
    quiet = {"name": "quiet", "ipv4": ["192.31.197.16"], "clients": "2001:db8::/32"}
    pools = gateway(pool4=[POOL, quiet]).spec.pool4
    assert list(asks_of_pools(pools)) == [Ask("l2", POOL_NETWORK)]
    services = (service("l2"), service("none", name="quiet"), service("route", "10.0.0.201"))
    far = Ask("route", ip_network("10.0.0.201/32"))
    assert list(asks_of_services(services)) == [Ask("l2", V4), Ask("l2", V6), far]
    assert list(asks_of_services(services, {V6[0]})) == [Ask("l2", V4), far]


def test_what_it_takes() -> None:
    """IPv4 is answered for on wan0 alone, which has it, and IPv6 on both; routes lead to the slow
    path's end, or nowhere."""
    made = announcement(service("l2"), service("route", "192.0.2.9", "2001:db8::9")).made(NEAR)
    assert made == Announced(
        frozenset(
            [
                (V4, NEAR),
                (V6, NEAR),
                (ip_network("192.0.2.9/32"), None),
                (ip_network("2001:db8::9/128"), None),
            ]
        ),
        frozenset([(2, V4[0]), (2, V6[0]), (3, V6[0])]),
    )
    assert announcement(service("route")).answering(6) == []
    assert announcement(service("none")).made(NEAR) == NOTHING


def test_what_two_ask_for_is_announced_until_neither_does() -> None:
    """Pool4 and a service, or two services: once."""
    both = Announcement.of([Ask("l2", V4), Ask("l2", V6), Ask("l2", V6), Ask("l2", V4)], (WAN, LAN))
    one = Announcement.of([Ask("l2", V4), Ask("l2", V6)], (WAN, LAN))
    assert both == one
    assert both.changes(one.made(NEAR), NEAR) == one.changes(both.made(NEAR), NEAR) == []
    none = announcement()
    assert none.changes(one.made(NEAR), NEAR) == [
        "announce 10.0.0.200 no longer",
        "announce 2001:db8:a::200 no longer",
    ]


def test_two_ways_for_one_address() -> None:
    made = announcement(service("l2", str(V4[0])), service("route"))
    assert (made.l2, made.route, made.unmet) == ((V4,), (V6,), (V4,))


def test_changes_are_told() -> None:
    wanted = announcement(service("l2"), service("route", "192.0.2.9"))
    assert wanted.changes(NOTHING, NEAR) == [
        "announce 10.0.0.200: ARP on wan0",
        "announce 2001:db8:a::200: neighbour discovery on wan0, lan0",
        "announce 192.0.2.9: a route",
    ]
    made = wanted.made(NEAR)
    assert wanted.changes(made, NEAR) == []
    assert wanted.changes(replace(made, proxies=made.proxies - {(3, V6[0])}), NEAR) == [
        "announce 2001:db8:a::200: neighbour discovery on wan0, lan0"
    ]
    for mute in (2, EVERY):
        assert wanted.changes(replace(made, mute=frozenset([mute])), NEAR) == [
            "announce 2001:db8:a::200: neighbour discovery on wan0, lan0"
        ]
    assert wanted.changes(made, NEAR + 1) == [  # the slow path is another one
        "announce 10.0.0.200: ARP on wan0",
        "announce 2001:db8:a::200: neighbour discovery on wan0, lan0",
    ]
    many = announcement(service("l2", *(f"10.0.1.{at}" for at in range(21))))
    assert many.changes(NOTHING, NEAR) == ["announce anew: 21 addresses and networks"]


def test_a_plan_has_both() -> None:
    seen = observed(WAN, LAN)
    beside = Beside(asks=tuple(asks_of_services([service("l2")])))
    plan = plan_gateway(gateway(pool4=[POOL]), seen, beside=beside)
    assert plan.announcement.l2 == (POOL_NETWORK, V4, V6)
    assert plan.announce == (
        "announce 192.31.197.8/31: ARP on wan0",
        "announce 10.0.0.200: ARP on wan0",
        "announce 2001:db8:a::200: neighbour discovery on wan0, lan0",
    )
    there = replace(seen, announced=plan.announcement.made(NEAR))
    assert plan_gateway(gateway(pool4=[POOL]), there, beside=beside).announce == ()
    assert plan_gateway(None, there).announce == (
        "announce 10.0.0.200 no longer",
        "announce 192.31.197.8/31 no longer",
        "announce 2001:db8:a::200 no longer",
    )


def test_what_is_missing_is_told_to_who_asks() -> None:
    asks = [Ask("l2", ip_network(f"10.0.0.{at}/32")) for at in range(1, 7)]
    one = Unannounced(frozenset(asks), "it is down", " on wan0")
    assert one.told() == (
        "10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 2 more are not announced on wan0: it is down"
    )
    assert one.told({asks[5], Ask("l2", V4)}) == "10.0.0.6 is not announced on wan0: it is down"
    assert one.told({Ask("route", asks[5].network)}) is None


def test_an_advertisement() -> None:
    """Bytes of RFC 4861 4.4 and 4.6.1, as another implementation reads them."""
    mac, address = bytes.fromhex("020000000107"), IPv6Address("2001:db8:a::200")
    message: Any = ICMPv6ND_NA(nd.advertisement(mac, address))
    assert (message.type, message.code) == (136, 0)
    assert (message.R, message.S, message.O, message.res) == (0, 0, 1, 0)
    assert ip_address(message.tgt) == address
    option = message[ICMPv6NDOptDstLLAddr]
    assert (option.type, option.len, option.lladdr) == (2, 1, "02:00:00:00:01:07")
    assert len(nd.advertisement(mac, address)) == 24 + 8


def test_families_do_not_mix() -> None:
    """Without IPv4 on any device, IPv6 is answered for all the same."""
    made = announcement(service("l2"), devices=(LAN,)).made(NEAR)
    assert made.proxies == {(3, V6[0])}
    assert IPv4Address("10.0.0.200") not in {address for _, address in made.proxies}
