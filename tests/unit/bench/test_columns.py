# SPDX-License-Identifier: Apache-2.0
"""Frames by the million are those that scapy makes one at a time."""

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from bench.columns import (
    DESTINATION4,
    DESTINATION6,
    SOURCE4,
    SOURCE6,
    TCP_FLAGS,
    TCP_SUM,
    UDP_SUM,
    UPPER4,
    UPPER6,
    copies,
    frames_of,
    put,
    put_sums4,
    put_sums6,
    shuffled,
)

_LINK = Ether(dst="02:aa:00:00:00:01", src="02:bb:00:00:00:01")


def _udp(port: int) -> Packet:
    return UDP(sport=port, dport=443) / Raw(bytes(22))


def _tcp(port: int) -> Packet:
    return TCP(sport=port, dport=443, flags="S") / Raw(bytes(10))


@pytest.mark.parametrize(("upper", "protocol", "at_sum"), [(_udp, 17, UDP_SUM), (_tcp, 6, TCP_SUM)])
def test_columns_of_ipv4(upper: type, protocol: int, at_sum: int) -> None:
    frames = copies(bytes(_LINK / IP(src="192.0.2.1", dst="192.0.2.2") / upper(7)), 300)
    number = np.arange(300)
    put(frames, SOURCE4, 0xC0A80000 + number, 4)
    put(frames, DESTINATION4, 0x0A000000 + 2 * number, 4)
    put(frames, UPPER4, 1024 + number, 2)
    put_sums4(frames, protocol, at_sum)
    expected = [
        bytes(
            _LINK
            / IP(src=f"192.168.{at >> 8}.{at & 255}", dst=f"10.0.{at >> 7}.{2 * at & 255}")
            / upper(1024 + at)
        )
        for at in range(300)
    ]
    assert frames_of(frames) == expected


@pytest.mark.parametrize(("upper", "protocol", "at_sum"), [(_udp, 17, UDP_SUM), (_tcp, 6, TCP_SUM)])
def test_columns_of_ipv6(upper: type, protocol: int, at_sum: int) -> None:
    frames = copies(bytes(_LINK / IPv6(src="2001:db8::", dst="2001:db8:1::") / upper(7)), 300)
    number = np.arange(300)
    put(frames, SOURCE6 + 12, number, 4)
    put(frames, DESTINATION6 + 12, 0x10000 + number, 4)
    put(frames, UPPER6, 1024 + number, 2)
    put_sums6(frames, protocol, at_sum)
    expected = [
        bytes(_LINK / IPv6(src=f"2001:db8::{at:x}", dst=f"2001:db8:1::1:{at:x}") / upper(1024 + at))
        for at in range(300)
    ]
    assert frames_of(frames) == expected


def test_flags_of_tcp() -> None:
    frames = copies(bytes(_LINK / IP() / _tcp(7)), 2)
    put(frames, UPPER4 + TCP_FLAGS, 0x10, 1)
    assert [Ether(frame)[TCP].flags for frame in frames_of(frames)] == ["A", "A"]


def test_another_order_and_all_of_them() -> None:
    frames = [bytes([number]) for number in range(100)]
    assert shuffled(frames) != frames
    assert sorted(shuffled(frames)) == frames
