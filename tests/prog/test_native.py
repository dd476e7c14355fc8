# SPDX-License-Identifier: Apache-2.0
"""What routing knows better is not translated (RFC 7915 4.6, 5.6), where each table has to do with
it. tests/diff compares the rest with the reference."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from sixlane.rfc.rfc7915 import Eam, Prefix, Translator
from tests import needs
from tests.packets import ip4, ip6, udp
from tests.world import Entry, World, tables_for

pytestmark = [pytest.mark.prog, needs.root, pytest.mark.conformance(10)]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
Network = IPv4Network | IPv6Network


def configure(world: World, prefixes: Sequence[Prefix], *native: Network) -> None:
    ends = IPv4Address("192.31.196.1"), IPv6Address("2001:db8::1")
    translator = Translator(tuple(prefixes), *ends, native=native)
    world.commit(tables_for(translator, world.wan, world.lan))


def entry_of(network: str, *ipv4: str, eam: Sequence[Eam] = ()) -> Prefix:
    name = "p" + network.split("/")[0].replace(":", "-").strip("-")
    return Prefix(name, IPv6Network(network), tuple(map(IPv4Network, ipv4)), None, tuple(eam))


def reason(world: World, packet: object, entry: Entry) -> str:
    (only,) = world.run(bytes(packet), entry).reasons  # type: ignore[call-overload]
    return str(only)


@ENTRIES
@pytest.mark.parametrize("number", [0, 31, 32, 63])
def test_sets_of_prefixes_know_each(world: World, entry: Entry, number: int) -> None:
    """A node inside is native under its own prefix, and under no other."""
    prefixes = [entry_of(f"2001:db8:{n + 1:x}::/96", f"198.51.100.{n}/32") for n in range(64)]
    configure(world, prefixes)
    source = f"2001:db8:{(number + 1) % 64 + 1:x}::198.51.100.{(number + 1) % 64}"
    node = f"198.51.100.{number}"
    own = ip6(src=source, dst=f"2001:db8:{number + 1:x}::{node}") / udp()
    assert reason(world, own, entry) == "pass_native"
    for other in (number ^ 32, number ^ 1):
        packet = ip6(src=source, dst=f"2001:db8:{other + 1:x}::{node}") / udp()
        assert reason(world, packet, entry) == "forward_hairpin", other


@ENTRIES
def test_a_route_under_one_of_two_prefixes(world: World, entry: Entry) -> None:
    prefixes = [
        entry_of("2001:db8:1::/96", "198.51.100.0/25"),
        entry_of("2001:db8:2::/96", "198.51.100.128/25"),
    ]
    configure(world, prefixes, IPv6Network("2001:db8:2::192.0.2.0/120"))
    source = "2001:db8:1::198.51.100.1"
    for there, wanted in (("2001:db8:1::", "forward_64"), ("2001:db8:2::", "pass_native")):
        packet = ip6(src=source, dst=f"{there}192.0.2.7") / udp()
        assert reason(world, packet, entry) == wanted
    packet = ip6(src=source, dst="2001:db8:2::192.0.3.7") / udp()
    assert reason(world, packet, entry) == "forward_64"


@ENTRIES
def test_what_a_mapping_inside_of_pool6_says_is_not_asked(world: World, entry: Entry) -> None:
    """A node inside has an address that looks like another one's under pool6: that decides."""
    eam = Eam(IPv4Network("203.0.113.1/32"), IPv6Network("2001:db8:1::198.51.100.9/128"), False)
    configure(world, [entry_of("2001:db8:1::/96", "198.51.100.0/24", eam=[eam])])
    packet = ip6(src="2001:db8:1::198.51.100.1", dst="2001:db8:1::198.51.100.9") / udp()
    assert reason(world, packet, entry) == "pass_native"


@ENTRIES
def test_hairpins_to_what_is_native_in_ipv4_go_out(world: World, entry: Entry) -> None:
    eam = Eam(IPv4Network("203.0.113.0/28"), IPv6Network("2001:db8:a::/124"), False)
    prefixes = [entry_of("2001:db8:1::/96", "198.51.100.0/24", eam=[eam])]
    packet = ip6(src="2001:db8:1::198.51.100.1", dst="2001:db8:1::203.0.113.9") / udp()
    inbound = ip4(dst="203.0.113.9") / udp()
    configure(world, prefixes)
    assert reason(world, packet, entry) == "forward_hairpin"
    assert reason(world, inbound, entry) == "forward_46"
    configure(world, prefixes, IPv4Network("203.0.113.8/29"))
    assert reason(world, packet, entry) == "forward_64"
    assert reason(world, inbound, entry) == "pass_not_ours"
