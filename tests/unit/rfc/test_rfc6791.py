# SPDX-License-Identifier: Apache-2.0
"""ICMP errors from routers without an IPv4 address: RFC 6791's pool, RFC 5837's extension."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from sixlane.rfc.checksum import verifies
from sixlane.rfc.outcome import DropReason
from tests.unit.rfc.test_icmp_errors import quoted6, quoted6_as4
from tests.unit.rfc.vectors import OUTSIDE6, TRANSLATOR, dropped, forwarded, icmp6, ip6, udp

pytestmark = pytest.mark.conformance(59)

ROUTER = "2001:db8:ffff::9"
POOL = replace(
    TRANSLATOR, icmp_pool=(IPv4Network("198.51.100.248/31"), IPv4Network("203.0.113.9/32"))
)


def _error(quote: bytes, icmp_type: int = 3, code: int = 0, rest: int = 0) -> bytes:
    message = icmp6(icmp_type, code, rest, quote, ROUTER, OUTSIDE6)
    return ip6(message, ROUTER, OUTSIDE6, nh=58)


@pytest.mark.parametrize(
    ("pick", "source"), [(0, "198.51.100.248"), (1, "198.51.100.249"), (2, "203.0.113.9")]
)
def test_the_source_is_drawn_from_the_pool(pick: int, source: str) -> None:
    seen = forwarded(_error(quoted6(udp())), POOL, pool_pick=pick)
    assert seen[12:16] == IPv4Address(source).packed
    assert verifies(seen[:20]) and verifies(seen[20:])


def test_the_origin_is_told() -> None:
    """RFC 5837 section 4: class 2, C-Type 4, AFI 2; the quote is filled up to 128 bytes."""
    message = forwarded(_error(quoted6(udp(b"12"))), POOL)[20:]
    assert message[5] == 32
    assert message[8:136] == quoted6_as4(udp(b"12"), id=0).ljust(128, b"\0")
    extension = message[136:]
    assert len(extension) == 28 and verifies(extension)
    assert extension[:2] == b"\x20\0"
    assert extension[4:8] == bytes.fromhex("0018 02 04")
    router = bytes.fromhex("20010db8ffff00000000000000000009")
    assert extension[8:] == bytes.fromhex("0002 0000") + router


def test_the_origin_may_be_kept_secret() -> None:
    silent = replace(POOL, icmp_origin=False)
    assert forwarded(_error(quoted6(udp())), silent)[28:] == quoted6_as4(udp(), id=0)


def test_messages_without_a_length_do_not_tell_it() -> None:
    seen = forwarded(_error(quoted6(udp()), 2, 0, 1300), POOL)
    assert seen[28:] == quoted6_as4(udp(), id=0)


def test_an_extension_that_is_there_already_stays_alone() -> None:
    quote = quoted6(udp(bytes(200)))[:128]
    seen = forwarded(_error(quote + b"\x20\0\0\0there", 3, 0, 16 << 24), POOL)
    assert seen.endswith(b"\x20\0\0\0there")
    assert len(seen) == 28 + 128 + 9


def test_without_a_pool_the_error_is_dropped() -> None:
    assert dropped(_error(quoted6(udp()))) == DropReason.SOURCE_NOT_MAPPABLE


def test_packets_that_are_no_errors_draw_nothing() -> None:
    assert POOL.translate(ip6(udp(), ROUTER)) == TRANSLATOR.translate(ip6(udp(), ROUTER))


def test_the_quoted_packet_must_have_been_for_a_node_inside() -> None:
    quote = ip6(udp(), OUTSIDE6, "2001:db8:46::8.8.8.8")
    assert dropped(_error(quote), POOL) == DropReason.SOURCE_NOT_MAPPABLE
