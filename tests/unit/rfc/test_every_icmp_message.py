# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 sections 4.2 and 5.2: whole packets of every type and code, in either direction.

The tables here are those of the RFC, written once more; what they do not name is dropped, and
nobody is told (section 4.2: "Silently drop").
"""

import pytest

from sixlane.rfc.checksum import update, verifies
from sixlane.rfc.rfc7915 import Drop, DropReason, Forward
from tests.unit.rfc.test_icmp_errors import (
    error4,
    error6,
    quoted4,
    quoted4_as6,
    quoted6,
    quoted6_as4,
)
from tests.unit.rfc.vectors import TRANSLATOR, udp

CODES = (*range(20), 127, 255)

ERRORS_46 = {
    **{(3, code): (1, 0) for code in (0, 1, 5, 6, 7, 8, 11, 12)},
    (3, 2): (4, 1),
    (3, 3): (1, 4),
    (3, 4): (2, 0),
    **{(3, code): (1, 1) for code in (9, 10, 13, 15)},
    **{(11, code): (3, code) for code in CODES},
    (12, 0): (4, 0),
    (12, 2): (4, 0),
}
ECHO_46 = {
    **{(8, code): (128, code) for code in CODES},
    **{(0, code): (129, code) for code in CODES},
}

ERRORS_64 = {
    (1, 0): (3, 1),
    (1, 1): (3, 10),
    (1, 2): (3, 1),
    (1, 3): (3, 1),
    (1, 4): (3, 3),
    **{(2, code): (3, 4) for code in CODES},
    **{(3, code): (11, code) for code in CODES},
    (4, 0): (12, 0),
    (4, 1): (3, 2),
}
ECHO_64 = {
    **{(128, code): (8, code) for code in CODES},
    **{(129, code): (0, code) for code in CODES},
}

POINTERS_46 = {
    **{0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6},
    **dict.fromkeys(range(12, 16), 8),
    **dict.fromkeys(range(16, 20), 24),
}
POINTERS_64 = {
    **{0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8},
    **dict.fromkeys(range(8, 24), 12),
    **dict.fromkeys(range(24, 40), 16),
}


QUOTE4, QUOTE6 = quoted4(udp()), quoted6(udp())
QUOTE4_AS6, QUOTE6_AS4 = quoted4_as6(udp()), quoted6_as4(udp(), id=0)
MESSAGE4, MESSAGE6 = error4(QUOTE4, 0, 0), error6(QUOTE6, 0, 0)


def _as(message: bytes, at: int, *head: int) -> bytes:
    """The same message of another type and code, its checksum right."""
    old = message[at : at + 2]
    field = update(int.from_bytes(message[at + 2 : at + 4]), old, bytes(head))
    return message[:at] + bytes(head) + field.to_bytes(2) + message[at + 4 :]


def _pseudo(packet: bytes) -> bytes:
    return packet[8:40] + len(packet[40:]).to_bytes(4) + (58).to_bytes(4)


@pytest.mark.conformance(33, 34, 35, 36, 37, 38, 39, 41, 42, 43, 51, 53)
@pytest.mark.parametrize("icmp_type", range(256))
def test_icmpv4(icmp_type: int) -> None:
    for code in CODES:
        outcome = TRANSLATOR.translate(_as(MESSAGE4, 20, icmp_type, code))
        if wanted := ERRORS_46.get((icmp_type, code)):
            assert isinstance(outcome, Forward)
            assert (*outcome.packet[40:42],) == wanted
            assert outcome.packet[48:] == QUOTE4_AS6
        elif wanted := ECHO_46.get((icmp_type, code)):
            assert isinstance(outcome, Forward)
            assert (*outcome.packet[40:42],) == wanted
            assert outcome.packet[48:] == QUOTE4, "to an echo it is data"
        else:
            assert outcome == Drop(DropReason.ICMP_TYPE, None)
            continue
        assert verifies(_pseudo(outcome.packet) + outcome.packet[40:])
        assert int.from_bytes(outcome.packet[4:6]) == len(outcome.packet) - 40


@pytest.mark.conformance(44, 45, 46, 47, 48, 49, 50, 51, 53)
@pytest.mark.parametrize("icmp_type", range(256))
def test_icmpv6(icmp_type: int) -> None:
    for code in CODES:
        outcome = TRANSLATOR.translate(_as(MESSAGE6, 40, icmp_type, code))
        if wanted := ERRORS_64.get((icmp_type, code)):
            assert isinstance(outcome, Forward)
            assert (*outcome.packet[20:22],) == wanted
            assert outcome.packet[28:] == QUOTE6_AS4
        elif wanted := ECHO_64.get((icmp_type, code)):
            assert isinstance(outcome, Forward)
            assert (*outcome.packet[20:22],) == wanted
            assert outcome.packet[28:] == QUOTE6
        else:
            assert outcome == Drop(DropReason.ICMP_TYPE, None)
            continue
        assert verifies(outcome.packet[20:]) and verifies(outcome.packet[:20])
        assert int.from_bytes(outcome.packet[2:4]) == len(outcome.packet)


@pytest.mark.conformance(42)
@pytest.mark.parametrize("code", [0, 2])
def test_pointers_of_icmpv4(code: int) -> None:
    for pointer in range(256):
        outcome = TRANSLATOR.translate(error4(QUOTE4, 12, code, pointer << 24))
        if pointer in POINTERS_46:
            assert isinstance(outcome, Forward)
            assert int.from_bytes(outcome.packet[44:48]) == POINTERS_46[pointer]
        else:
            assert outcome == Drop(DropReason.ICMP_TYPE, None)


@pytest.mark.conformance(49)
def test_pointers_of_icmpv6() -> None:
    for pointer in (*range(256), *(known << 8 for known in POINTERS_64), 2**32 - 1):
        outcome = TRANSLATOR.translate(error6(QUOTE6, 4, 0, pointer))
        if pointer in POINTERS_64:
            assert isinstance(outcome, Forward)
            assert outcome.packet[24:28] == bytes((POINTERS_64[pointer], 0, 0, 0))
        else:
            assert outcome == Drop(DropReason.ICMP_TYPE, None)


@pytest.mark.conformance(36)
@pytest.mark.parametrize("rest", [0, 0xFF00FFFF])
def test_an_unknown_protocol_is_a_next_header(rest: int) -> None:
    outcome = TRANSLATOR.translate(error4(QUOTE4, 3, 2, rest))
    assert isinstance(outcome, Forward)
    assert int.from_bytes(outcome.packet[44:48]) == 6


@pytest.mark.conformance(39)
@pytest.mark.parametrize(
    ("mtu", "mtu4", "mtu6", "wanted"),
    [
        (1400, 1500, 1500, 1420),  # mtu + 20
        (1500, 1500, 1500, 1500),  # the IPv6 link
        (1500, 1400, 9000, 1420),  # the IPv4 link + 20
        (1259, 1500, 1500, 1280),  # 1279 is less than IPv6's least
        (1261, 1500, 1500, 1281),
        (65535, 65535, 70000, 65555),
    ],
)
def test_mtus_of_icmpv4(mtu: int, mtu4: int, mtu6: int, wanted: int) -> None:
    packet = error4(QUOTE4, 3, 4, mtu)
    outcome = TRANSLATOR.translate(packet, mtu4=mtu4, mtu6=mtu6)
    assert isinstance(outcome, Forward)
    assert int.from_bytes(outcome.packet[44:48]) == wanted


@pytest.mark.conformance(47)
@pytest.mark.parametrize(
    ("mtu", "mtu4", "mtu6", "wanted"),
    [
        (1400, 1500, 1500, 1380),  # mtu - 20
        (9000, 1500, 9000, 1500),  # the IPv4 link
        (9000, 9000, 1500, 1480),  # the IPv6 link - 20
        (1280, 1500, 1500, 1260),
        (2**32 - 1, 65535, 2**17, 65535),
    ],
)
def test_mtus_of_icmpv6(mtu: int, mtu4: int, mtu6: int, wanted: int) -> None:
    packet = error6(QUOTE6, 2, 0, mtu)
    outcome = TRANSLATOR.translate(packet, mtu4=mtu4, mtu6=mtu6)
    assert isinstance(outcome, Forward)
    assert int.from_bytes(outcome.packet[24:28]) == wanted
