# SPDX-License-Identifier: Apache-2.0
"""What is sent because time has passed, against the bytes that scapy makes of the same."""

from ipaddress import IPv6Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6

from sixlane.datapath import Probe
from sixlane.nat64 import port_unreachable, probe_segment
from tests.packets import ip4, ip6, tcp

pytestmark = pytest.mark.conformance(86, 92)

POD, PEER, POOL = "2001:db8:64::7", "64:ff9b::192.31.196.53", "192.31.197.8"


def test_a_probe() -> None:
    """RFC 6146 3.5.2.2: ACK alone, sequence and acknowledgment 0, no data."""
    probe = Probe(IPv6Address(PEER), 443, IPv6Address(POD), 5001)
    segment = TCP(sport=443, dport=5001, flags="A", seq=0, ack=0, window=0)
    assert probe_segment(probe) == bytes(IPv6(src=PEER, dst=POD, hlim=64) / segment)


@pytest.mark.parametrize("options", [[], [("MSS", 1460), ("WScale", 7)]])
def test_an_answer(options: list[tuple[str, int]]) -> None:
    syn = bytes(ip4(dst=POOL) / tcp(flags="S", options=options))
    error = IP(src=POOL, dst=IP(syn).src, tos=0xC0, id=0, flags="DF", ttl=64)
    assert port_unreachable(syn) == bytes(error / ICMP(type=3, code=3) / syn)


def test_an_answer_to_a_node_inside() -> None:
    called = f"64:ff9b::{POOL}"
    syn = bytes(ip6(src=POD, dst=called) / tcp(flags="S"))
    error = IPv6(src=called, dst=POD, hlim=64) / ICMPv6DestUnreach(code=4)
    assert port_unreachable(syn) == bytes(error / syn)
