# SPDX-License-Identifier: Apache-2.0
"""RFC 9293 section 3.2: lists of TCP options, and the maximum segment size in them."""

from dataclasses import replace

import pytest
from scapy.layers.inet import TCP
from scapy.packet import Packet

from sixlane.rfc.checksum import checksum
from sixlane.rfc.rfc9293 import clamp
from tests.unit.rfc.test_icmp_errors import error4, error6, quoted4, quoted6
from tests.unit.rfc.vectors import (
    EDGE,
    INSIDE4,
    INSIDE6,
    OUTSIDE4,
    OUTSIDE6,
    TRANSLATOR,
    forwarded,
    fragment6,
    ip4,
    ip6,
    raw,
)

MOST = 1220
CLAMPING = replace(TRANSLATOR, prefixes=(replace(EDGE, max_segment=MOST),))
SYN, SYN_ACK, ACK = 0x02, 0x12, 0x10


def segment(options: str, flags: int = SYN, offset: int | None = None, data: bytes = b"") -> bytes:
    """A TCP segment with a right checksum, as far as no pseudo-header is needed."""
    area = bytes.fromhex(options)
    words = (20 + len(area)) // 4 if offset is None else offset
    head = bytes.fromhex("9c40 0050 00000001 00000000") + bytes((words << 4, flags, 0x20, 0))
    body = bytes(2) + area + data
    return head + checksum(head + bytes(2) + body).to_bytes(2) + body


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("020405b4", "020404c4"),  # 1460 becomes 1220
        ("020404c5", "020404c4"),
        ("0204ffff", "020404c4"),
        ("020404c4", "020404c4"),
        ("020404c3", "020404c3"),
        ("02040000", "02040000"),
        ("01010101 020405b4", "01010101 020404c4"),
        ("01 020405b4 010101", "01 020404c4 010101"),  # at an odd place
        ("0303 07 01 020405b4", "0303 07 01 020404c4"),
        ("080a 0000000100000002 0101 020405b4", "080a 0000000100000002 0101 020404c4"),
        ("020405b4 020405b4", "020404c4 020405b4"),  # the first
        ("020404c3 020405b4", "020404c3 020405b4"),
        ("0203ff 01 020405b4", "0203ff 01 020404c4"),  # no MSS by its length
        ("0206 ffffffff 0101 020405b4", "0206 ffffffff 0101 020404c4"),
        ("00 000000 020405b4", "00 000000 020405b4"),  # behind the end of the list
        ("0500 0000 020405b4", "0500 0000 020405b4"),  # a length that cannot be
        ("0501 0000 020405b4", "0501 0000 020405b4"),
        ("0509 0000 020405b4", "0509 0000 020405b4"),  # beyond the list
        ("01010102 020405b4", "01010102 020405b4"),  # 02 02 and then an option 04 of 5 bytes
        ("010102 04", "010102 04"),  # half of an option
        ("010101 02", "010101 02"),
    ],
)
def test_lists_of_options(before: str, after: str) -> None:
    assert clamp(segment(before), MOST) == segment(after)


def test_the_longest_list() -> None:
    before, after = "01" * 36 + "020405b4", "01" * 36 + "020404c4"
    assert clamp(segment(before), MOST) == segment(after)


@pytest.mark.parametrize("words", [0, 4, 5])
def test_behind_the_header_there_is_data(words: int) -> None:
    whole = segment("020405b4", offset=words)
    assert clamp(whole, MOST) == whole


def test_a_list_that_is_longer_than_the_packet() -> None:
    cut = segment("020405b4", offset=15)
    assert clamp(cut, MOST) == segment("020404c4", offset=15)
    for garbled in (segment("0101 0204")[:23], segment("0101 0204", data=b"\x05\xb4")):
        assert clamp(garbled, MOST) == garbled, "what follows the list is data"


@pytest.mark.parametrize(("flags", "clamped"), [(SYN, True), (SYN_ACK, True), (ACK, False)])
def test_syns_only(flags: int, clamped: bool) -> None:
    expected = segment("020404c4" if clamped else "020405b4", flags)
    assert clamp(segment("020405b4", flags), MOST) == expected


def test_in_either_direction_with_the_right_checksum() -> None:
    """What is expected has been summed by scapy."""

    def syn(most: int) -> Packet:
        return TCP(flags="S", options=[("NOP", None), ("MSS", most), ("SAckOK", b"")])

    to6 = forwarded(ip4(syn(1460)), CLAMPING)
    assert to6 == ip6(syn(MOST), OUTSIDE6, INSIDE6, fl=0, hlim=56)
    to4 = forwarded(ip6(syn(1460)), CLAMPING)
    assert to4 == ip4(syn(MOST), INSIDE4, OUTSIDE4, ttl=56, flags="", id=0)


@pytest.mark.parametrize(("offset", "clamped"), [(0, True), (3, False)])
def test_later_fragments_have_no_header(offset: int, clamped: bool) -> None:
    piece = segment("020405b4")
    to6 = forwarded(ip4(raw(piece), proto=6, frag=offset, flags="MF"), CLAMPING)
    assert (to6[68:72] == bytes.fromhex("020404c4")) == clamped
    packet = ip6(fragment6(offset, 1, 1, 6) / raw(piece))
    assert (forwarded(packet, CLAMPING)[40:44] == bytes.fromhex("020404c4")) == clamped


def test_what_an_error_quotes_is_what_was_sent() -> None:
    quote = raw(segment("020405b4"))
    to6 = forwarded(error4(quoted4(quote, proto=6)), CLAMPING)
    assert to6[-4:] == bytes.fromhex("020405b4")
    to4 = forwarded(error6(quoted6(quote, nh=6)), CLAMPING)
    assert to4[-4:] == bytes.fromhex("020405b4")
