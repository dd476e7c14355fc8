# SPDX-License-Identifier: Apache-2.0
"""What the data path may leave out for a filter, and what a filter then wants."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from sixlane.agent.captures import as_data, narrowed
from sixlane.bpf.pcap import Filter
from sixlane.datapath.capturing import Captured, Rule
from sixlane.errors import ConfigError

LINK = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")


POOL4 = {IPv4Address("192.31.197.8")}
REMOTE, POOL, POD, REMOTE6 = "192.31.196.53", "192.31.197.8", "2001:db8::7", "64:ff9b::c01f:c435"


@pytest.mark.parametrize(
    ("before", "after", "pool4"),
    [
        (IPv6(src=POD, dst=REMOTE6) / UDP(), IP(src=POOL, dst=REMOTE) / UDP(sport=7), f"{POOL}:7"),
        (IP(src=REMOTE, dst=POOL) / TCP(dport=9), IPv6(src=REMOTE6, dst=POD) / TCP(), f"{POOL}:9"),
        (IP(src=REMOTE, dst=POOL) / ICMP(type=0, id=4711), None, f"{POOL}:4711"),
        (IP(src=REMOTE, dst=POOL) / ICMP(type=0, id=0), None, f"{POOL}:0"),
        (IP(src=REMOTE, dst=POOL, frag=9) / b"12345678", None, POOL),
        (IP(src=REMOTE, dst=POOL) / ICMP(type=3), None, POOL),
        (IP(src=POOL, dst=REMOTE) / UDP(), None, None),
        (IPv6(src=POD, dst=REMOTE6) / UDP(), None, None),
    ],
)
def test_a_session_is_named_by_pool4(before: Packet, after: Packet | None, pool4: str) -> None:
    frames = [b"" if one is None else bytes(LINK / one) for one in (before, after)]
    sent = frames[1] if after else None
    captured = Captured(0, 1, "tc", "sent", (), frames[0], len(frames[0]), sent, len(frames[1]))
    assert as_data(captured, POOL4)["pool4"] == pool4
    assert as_data(captured)["pool4"] is None


@pytest.mark.parametrize(
    ("expression", "protocol", "port"),
    [
        ("", None, None),
        ("tcp", "tcp", None),
        ("udp port 53", "udp", 53),
        ("tcp and host 192.0.2.1", "tcp", None),
        ("host 192.0.2.1 && udp port 5000", "udp", 5000),
        ("ip6 and tcp port 443", "tcp", 443),
        # not certain, or more than that
        ("tcp or udp", None, None),
        ("not tcp", None, None),
        ("tcp || icmp", None, None),
        ("icmp", None, None),  # it may answer a packet of another protocol
        ("port 53", None, None),
        ("(tcp and port 1)", None, None),
        ("tcp[tcpflags] & tcp-syn != 0", None, None),
        ("tcp portrange 1-5", None, None),
        ("udp port domain", None, None),
        ("host tcp", None, None),
        ("ether proto 0x800", None, None),
    ],
)
def test_what_the_data_path_leaves_out(
    expression: str, protocol: str | None, port: int | None
) -> None:
    rule = narrowed(Rule(), expression)
    assert (rule.protocol, rule.port) == (protocol, port)


def test_filters_are_those_of_tcpdump() -> None:
    packets = {
        "tcp": LINK / IP(dst="192.0.2.1") / TCP(dport=80),
        "udp6": LINK / IPv6(dst="2001:db8::1") / UDP(dport=53),
        "ping": LINK / IP(dst="192.0.2.1", len=900) / ICMP(),
    }
    for expression, wanted in (
        ("tcp", {"tcp"}),
        ("host 192.0.2.1", {"tcp", "ping"}),
        ("ip6 and udp port 53", {"udp6"}),
        ("greater 900", {"ping"}),
        ("icmp[icmptype] == icmp-echo", {"ping"}),
    ):
        with Filter(expression) as filter:
            matched = {
                name
                for name, packet in packets.items()
                if filter.matches(bytes(packet), 914 if name == "ping" else len(packet))
            }
        assert matched == wanted, expression


def test_what_is_no_filter() -> None:
    with pytest.raises(ConfigError, match=r"not a filter: 'tcp tcp': .*syntax error"):
        Filter("tcp tcp")
