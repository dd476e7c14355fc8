# SPDX-License-Identifier: Apache-2.0
"""Capture files as scapy writes them, and broken ones."""

from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, PcapWriter

from sixlane.cli.pcap import read
from sixlane.errors import ConfigError

PACKETS = [
    Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / IP(dst="1.2.3.4", ttl=n) / UDP()
    for n in (7, 8)
]


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("nano", [True, False])
def test_pcap(tmp_path: Path, order: str, nano: bool) -> None:
    file = tmp_path / "x.pcap"
    with PcapWriter(str(file), endianness=order, nano=nano) as writer:
        writer.write(PACKETS)
    assert [one.data for one in read(file.read_bytes())] == [bytes(one) for one in PACKETS]
    assert all(one.is_frame and one.is_whole for one in read(file.read_bytes()))


def test_pcapng(tmp_path: Path) -> None:
    file = tmp_path / "x.pcapng"
    with PcapNgWriter(str(file)) as writer:
        for one in PACKETS:
            writer.write(one)
    assert [one.data for one in read(file.read_bytes())] == [bytes(one) for one in PACKETS]


@pytest.mark.parametrize(("link", "header"), [(101, 0), (113, 16), (276, 20)])
def test_layer_3_behind_other_links(tmp_path: Path, link: int, header: int) -> None:
    file = tmp_path / "x.pcap"
    packet = bytes(PACKETS[0].payload)
    with PcapWriter(str(file), linktype=link) as writer:
        writer.write(bytes(header) + packet)
    [found] = read(file.read_bytes())
    assert (found.data, found.is_frame) == (packet, False)


def test_a_packet_that_was_cut(tmp_path: Path) -> None:
    file = tmp_path / "x.pcap"
    with PcapWriter(str(file)) as writer:
        writer.write_header(None)
        writer.write_packet(bytes(PACKETS[0])[:30], caplen=30, wirelen=len(PACKETS[0]))
    [found] = read(file.read_bytes())
    assert (found.data, found.is_whole) == (bytes(PACKETS[0])[:30], False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "neither"),
        (b"GIF89a", "neither"),
        (b"\xd4\xc3\xb2\xa1", "within its header"),
        (bytes.fromhex("0a0d0d0a 00010000 4d3c2b1a 00"), "within a block"),
        (bytes.fromhex("d4c3b2a102000400" + "00" * 8 + "ffff000069000000" + "00" * 16), "105"),
    ],
)
def test_what_is_no_capture(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        list(read(data))
