# SPDX-License-Identifier: Apache-2.0
"""ICMP extensions, lengths and limits of ICMP errors, by hand-made bytes."""

import pytest
from scapy.layers.inet6 import IPv6ExtHdrDestOpt

from sixlane.rfc.checksum import verifies
from sixlane.rfc.outcome import DropReason
from tests.unit.rfc.test_icmp_errors import (
    error4,
    error6,
    quoted4,
    quoted4_as6,
    quoted6,
    quoted6_as4,
    translated,
)
from tests.unit.rfc.vectors import dropped, raw, udp

EXTENSION = bytes.fromhex("20001234 00080101 00000000")  # MPLS, its checksum made up: opaque

pytestmark = pytest.mark.conformance(55)


def _field4(quote: bytes, length: int) -> bytes:
    return quote[:length].ljust(length, b"\0")


@pytest.mark.parametrize("data", [0, 20, 100, 101])
def test_an_extension_moves_behind_the_longer_quote(data: int) -> None:
    """128 bytes of IPv4 are 148 of IPv6: filled up to 152, which are 19 words of 64 bits."""
    quote = _field4(quoted4(udp(bytes(data))), 128)
    seen = translated(error4(quote + EXTENSION, 11, 0, 128 // 4 << 16))
    message = seen[40:]
    assert (message[0], message[4]) == (3, 152 // 8)
    wanted = quoted4_as6(udp(bytes(data)))
    assert message[8:160] == wanted[:148].ljust(152, b"\0")
    assert message[160:] == EXTENSION
    assert int.from_bytes(seen[4:6]) == 8 + 152 + len(EXTENSION)


def test_an_extension_behind_the_shorter_quote_keeps_128_bytes() -> None:
    """128 bytes of IPv6 are 108 of IPv4, which are not enough."""
    quote = _field4(quoted6(udp(bytes(64))), 128)
    seen = translated(error6(quote + EXTENSION, 1, 4, 128 // 8 << 24))
    message = seen[20:]
    assert (message[0], message[1], message[5]) == (3, 3, 128 // 4)
    assert message[8:136] == quoted6_as4(udp(bytes(64))).ljust(128, b"\0")[:128]
    assert message[136:] == EXTENSION


def test_extension_headers_that_go_make_room() -> None:
    quote = _field4(quoted6(IPv6ExtHdrDestOpt() / udp(bytes(200))), 256)
    message = translated(error6(quote + EXTENSION, 3, 0, 256 // 8 << 24))[20:]
    assert message[5] == (256 - 20 - 8) // 4
    assert message[8 : 8 + 228] == quoted6_as4(udp(bytes(200)))[:228].ljust(228, b"\0")


@pytest.mark.parametrize("icmp_type", [(3, 2, 0), (3, 4, 1400), (12, 0, 8 << 24)])
def test_where_there_is_no_length_the_extension_goes(icmp_type: tuple[int, int, int]) -> None:
    """Packet Too Big and Parameter Problem of ICMPv6 have none (RFC 4884 section 4)."""
    kind, code, rest = icmp_type
    quote = _field4(quoted4(udp(bytes(200))), 128)
    seen = translated(error4(quote + EXTENSION, kind, code, rest | 32 << 16))
    assert seen[48:] == quoted4_as6(udp(bytes(200)))[:148]


@pytest.mark.parametrize(
    ("length", "behind", "right"),
    [(31, 8, False), (32, 4, True), (32, 3, False), (33, 0, False), (33, 4, True), (255, 4, False)],
)
def test_lengths_that_cannot_be(length: int, behind: int, right: bool) -> None:
    packet = quoted4(udp(bytes(200)))[: length * 4] + EXTENSION[:behind]
    error = error4(packet, 11, 0, length << 16)
    if right:
        assert translated(error)
    else:
        assert dropped(error) == DropReason.MALFORMED


def test_a_length_is_none_where_none_is_defined() -> None:
    """The first byte of a Packet Too Big's MTU is no length."""
    quote = quoted6(udp(bytes(64)))
    assert translated(error6(quote, 2, 0, 0x0100_0578))


@pytest.mark.parametrize(("extension", "kept"), [(420, True), (424, False)])
def test_an_extension_is_kept_whole_or_not_at_all(extension: int, kept: bool) -> None:
    """576 - 28 bytes of headers - 128 bytes of quote leave 420."""
    quote = _field4(quoted6(udp(bytes(300))), 256)
    behind = EXTENSION + bytes(extension - len(EXTENSION))
    message = translated(error6(quote + behind, 3, 0, 256 // 8 << 24))[20:]
    assert len(message) == (576 - 20 if kept else 8 + 256 - 20)
    assert message[5] == (128 // 4 if kept else 0)
    assert message.endswith(behind) == kept


@pytest.mark.conformance(56)
@pytest.mark.parametrize("data", [480, 508, 1000, 1200])
def test_icmpv4_errors_are_at_most_576_bytes_long(data: int) -> None:
    quote = quoted6(udp(bytes(data)))
    seen = translated(error6(quote, 3, 0, 0))
    whole = quoted6_as4(udp(bytes(data)))
    assert seen[28:] == whole[: 576 - 28]
    assert verifies(seen[20:])


@pytest.mark.conformance(56)
def test_icmpv6_errors_are_at_most_1280_bytes_long() -> None:
    quote = quoted4(udp(bytes(1400)))
    seen = translated(error4(quote, 11, 0, 0))
    assert len(seen) == 1280
    assert seen[48:] == quoted4_as6(udp(bytes(1400)))[: 1280 - 48]
    pseudo = seen[8:40] + (1240).to_bytes(4) + (58).to_bytes(4)
    assert verifies(pseudo + seen[40:])


@pytest.mark.conformance(56)
def test_errors_that_nobody_may_send() -> None:
    """Of 2,000 bytes one is cut, of 2,001 it is dropped."""
    quote = quoted6(raw(bytes(3000)), nh=99)
    assert len(translated(error6(quote[: 2000 - 48], 3, 0, 0))) == 576
    assert dropped(error6(quote[: 2001 - 48], 3, 0, 0)) == DropReason.TOO_BIG


@pytest.mark.conformance(64)
@pytest.mark.parametrize("wrong", [1, 0x8000, 0xFFFE])
def test_a_wrong_checksum_stays_as_wrong(wrong: int) -> None:
    """Also where bytes are cut and an extension moves: the difference to the right sum stays."""
    quote = _field4(quoted6(udp(bytes(900))), 800)
    right = error6(quote + EXTENSION, 3, 0, 800 // 8 << 24)
    field = (int.from_bytes(right[42:44]) + wrong) % 0xFFFF
    broken = right[:42] + field.to_bytes(2) + right[44:]
    sums = [int.from_bytes(translated(one)[22:24]) for one in (right, broken)]
    assert (sums[1] - sums[0]) % 0xFFFF == wrong % 0xFFFF
