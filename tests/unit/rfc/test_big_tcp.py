# SPDX-License-Identifier: Apache-2.0
"""Super-packets of more than 64 KiB: they say no length, but in IPv6 a jumbo option (RFC 2675)."""

from dataclasses import replace

import pytest

from sixlane.rfc.checksum import checksum, update, verifies
from sixlane.rfc.rfc7915 import DropReason, Forward, SlowPath
from tests.unit.rfc.test_translate66 import BOTH, CALLED6, CALLER6, CALLER_SEEN6, SERVER6
from tests.unit.rfc.vectors import (
    INSIDE4,
    INSIDE6,
    OUTSIDE4,
    OUTSIDE6,
    TRANSLATOR,
    dropped,
    forwarded,
    ip4,
    ip6,
    raw,
    refused,
)

DATA_BYTES = 70_000
SEGMENT = 1428
TCP = bytes.fromhex("9c40 0050 00000001 00000002 5010 2000 0000 0000") + bytes(DATA_BYTES)


def segment(*ends: str) -> bytes:
    """A TCP packet that is summed with its real length, more than 16 bits of it."""
    words = b"".join(ip6(b"", end)[8:24] for end in ends) if ":" in ends[0] else b""
    if not words:
        words = b"".join(ip4(b"", end)[12:16] for end in ends)
    field = checksum(words + len(TCP).to_bytes(4) + (6).to_bytes(4) + TCP)
    return TCP[:16] + field.to_bytes(2) + TCP[18:]


def big4() -> bytes:
    header = bytearray(ip4(b"", proto=6))
    field = update(int.from_bytes(header[10:12]), bytes(header[2:4]), b"\0\0")
    header[2:4], header[10:12] = b"\0\0", field.to_bytes(2)
    return bytes(header) + segment(OUTSIDE4, INSIDE4)


def big6(source: str, destination: str, hlim: int = 57) -> bytes:
    """Next header TCP, length 0 words, option 0xc2 of 4 bytes: all behind the IPv6 header."""
    jumbo = bytes((6, 0, 0xC2, 4)) + (8 + len(TCP)).to_bytes(4)
    header = ip6(b"", source, destination, nh=0, plen=0, hlim=hlim)
    return header + jumbo + segment(source, destination)


def test_from_ipv6_to_ipv4_it_keeps_its_size() -> None:
    seen = forwarded(big6(INSIDE6, OUTSIDE6), segment_bytes=SEGMENT)
    assert seen[2:4] == b"\0\0"
    assert verifies(seen[:20])
    assert seen[6:8] == b"\x40\0", "DF: each segment is larger than 1,260 bytes"
    assert seen[20:] == segment(INSIDE4, OUTSIDE4)


def test_from_ipv4_to_ipv6_it_is_cut_first() -> None:
    assert TRANSLATOR.translate(big4(), segment_bytes=SEGMENT) == SlowPath()


def test_small_ones_without_a_length_are_measured() -> None:
    whole = ip4(raw(TCP[:1000]), proto=6)
    header = bytearray(whole)
    field = update(int.from_bytes(header[10:12]), bytes(header[2:4]), b"\0\0")
    header[2:4], header[10:12] = b"\0\0", field.to_bytes(2)
    assert forwarded(bytes(header), segment_bytes=400) == forwarded(whole, segment_bytes=400)


def test_one_packet_has_a_length() -> None:
    assert dropped(big4()) == DropReason.MALFORMED
    assert dropped(big6(INSIDE6, OUTSIDE6)) == DropReason.TRUNCATED


def test_an_error_about_one_quotes_it() -> None:
    """As much as of any packet, although it says no length."""
    packet = big4()[:8] + b"\x01" + big4()[9:]  # TTL 1
    field = update(int.from_bytes(packet[10:12]), b"\x39\x06", b"\x01\x06")
    packet = packet[:10] + field.to_bytes(2) + packet[12:]
    reason, error = refused(packet, segment_bytes=SEGMENT)
    assert reason == DropReason.TTL_EXPIRED
    assert error is not None and error[28:] == packet[: 576 - 28]
    packet = big6(INSIDE6, OUTSIDE6, hlim=1)
    reason, error = refused(packet, segment_bytes=SEGMENT)
    assert reason == DropReason.TTL_EXPIRED
    assert error is not None and error[48:] == packet[: 1280 - 48]


@pytest.mark.parametrize(("segment_bytes", "fits"), [(1460, True), (1440, True), (1461, False)])
def test_a_segment_is_measured_without_the_jumbo_header(segment_bytes: int, fits: bool) -> None:
    """Into IPv4: 20 + 20 + 1,460 = 1,500."""
    packet = big6(INSIDE6, OUTSIDE6)
    if fits:
        assert forwarded(packet, segment_bytes=segment_bytes)
    else:
        assert refused(packet, segment_bytes=segment_bytes)[0] == DropReason.TOO_BIG


@pytest.mark.conformance(71)
@pytest.mark.parametrize(("segment_bytes", "fits"), [(1440, True), (1441, False)])
def test_a_hairpin_keeps_the_jumbo_header(segment_bytes: int, fits: bool) -> None:
    """40 + 20 + 1,440 = 1,500: no wire sees the jumbo header."""
    packet = big6(CALLER6, CALLED6)
    if not fits:
        assert refused(packet, BOTH, segment_bytes=segment_bytes)[0] == DropReason.TOO_BIG
        return
    assert forwarded(packet, BOTH, segment_bytes=segment_bytes) == big6(CALLER_SEEN6, SERVER6, 56)


@pytest.mark.conformance(23, 24)
@pytest.mark.parametrize("lowest", [1280, 1400])
def test_pieces_that_are_cut_for_ipv6(lowest: int) -> None:
    """40 + 8 of headers: what is left, in units of 8, fits, and the next unit does not."""
    translator = replace(TRANSLATOR, lowest_ipv6_mtu=lowest)
    most = (lowest - 48) // 8 * 8
    piece = ip4(raw(bytes(most)), proto=47, flags="MF", frag=most // 8)
    outcome = translator.translate(piece)
    assert isinstance(outcome, Forward)
    assert len(outcome.packet) == 48 + most <= lowest
    assert int.from_bytes(outcome.packet[42:44]) == most | 1, "offset in bytes, and more"
    longer = ip4(raw(bytes(most + 8)), proto=47, flags="MF", frag=most // 8)
    assert translator.translate(longer) == SlowPath()
