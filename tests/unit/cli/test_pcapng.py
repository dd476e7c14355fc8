# SPDX-License-Identifier: Apache-2.0
"""What is written, read by scapy and by our own reader."""

import io
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgReader

from sixlane.cli.pcap import read
from sixlane.cli.pcapng import Writer, time_ns

FRAME = bytes(Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / IP() / UDP() / b"odd")
NOON_NS = 1_700_000_000_123_456_000


def test_frames_with_names_and_comments(tmp_path: Path) -> None:
    file = io.BytesIO()
    writer = Writer(file, "sixlane test")
    writer.packet("wan0 xdp in", NOON_NS, FRAME, 1500, comment="dropped: ttl_expired")
    writer.packet("lan0 tc out", NOON_NS + 1, FRAME, len(FRAME), outbound=True, comment="sent: 46")
    writer.packet("wan0 xdp in", NOON_NS + 2, FRAME[:40], len(FRAME))
    path = tmp_path / "x.pcapng"
    path.write_bytes(file.getvalue())
    with PcapNgReader(str(path)) as reader:
        first, second, third = reader.read_all()
    assert [bytes(one) for one in (first, second, third)] == [FRAME, FRAME, FRAME[:40]]
    assert first.comments == [b"dropped: ttl_expired"]
    assert second.comments == [b"sent: 46"]
    assert [one.sniffed_on for one in (first, second, third)] == [
        "wan0 xdp in",
        "lan0 tc out",
        "wan0 xdp in",
    ]
    assert [one.direction for one in (first, second)] == [1, 2]
    assert first.wirelen == 1500
    assert int(first.time * 10**9) == NOON_NS
    assert [one.data for one in read(file.getvalue())] == [FRAME, FRAME, FRAME[:40]]


def test_times_of_the_api() -> None:
    assert time_ns("2023-11-14T22:13:20.123456Z") == NOON_NS
