# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 sections 4.2 and 5.2: ICMP types, codes, pointers and MTUs in the other family."""

from typing import Final, NamedTuple

from sixlane.rfc.rfc8200 import FRAGMENT_BYTES, MINIMUM_MTU

HEADER_BYTES: Final = 8

ECHO4: Final = 8
ECHO_REPLY4: Final = 0
UNREACHABLE4: Final = 3
TIME_EXCEEDED4: Final = 11
PARAMETER_PROBLEM4: Final = 12
FRAGMENTATION_NEEDED: Final = 4  # a code of UNREACHABLE4

ECHO6: Final = 128
ECHO_REPLY6: Final = 129
UNREACHABLE6: Final = 1
TOO_BIG6: Final = 2
TIME_EXCEEDED6: Final = 3
PARAMETER_PROBLEM6: Final = 4

SILENT4: Final = frozenset({4, 5})
"""ICMPv4 errors that have no counterpart: Source Quench and Redirect."""

ECHO_46: Final = {ECHO4: ECHO6, ECHO_REPLY4: ECHO_REPLY6}
ERRORS6: Final = frozenset({1, 2, 3, 4})

ECHO_64: Final = {ECHO6: ECHO4, ECHO_REPLY6: ECHO_REPLY4}

PLATEAUS: Final = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)
"""RFC 1191 section 7.1: path MTUs that are likely, in bytes, greatest first."""

_HEADER_GROWTH: Final = 20
"""IPv6 header less IPv4 header, in bytes."""

_NEXT_HEADER: Final = 6
"""Offset of Next Header in the IPv6 header."""

_UNREACHABLE_46: Final = {
    **dict.fromkeys((0, 1, 5, 6, 7, 8, 11, 12), 0),  # no route
    **dict.fromkeys((9, 10, 13, 15), 1),  # administratively prohibited
    3: 4,  # port unreachable
}
_UNREACHABLE_64: Final = {0: 1, 1: 10, 2: 1, 3: 1, 4: 3}

_POINTER_46: Final = {
    **{0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6},
    **dict.fromkeys(range(12, 16), 8),  # source
    **dict.fromkeys(range(16, 20), 24),  # destination
}
_POINTER_64: Final = {
    **{0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8},
    **dict.fromkeys(range(8, 24), 12),
    **dict.fromkeys(range(24, 40), 16),
}


class Error(NamedTuple):
    """Type, code and pointer of an ICMP error; other errors than parameter problems point at 0."""

    type: int
    code: int
    pointer: int = 0


def is_error4(icmp_type: int) -> bool:
    """Tell whether an ICMPv4 message of this type quotes a packet (RFC 1122 section 3.2.2)."""
    return icmp_type in (3, 4, 5, 11, 12)


def is_error6(icmp_type: int) -> bool:
    """Tell whether an ICMPv6 message of this type is an error (RFC 4443 section 2.1)."""
    return icmp_type < 128


def error_46(icmp_type: int, code: int, pointer: int) -> Error | None:
    """Translate an ICMPv4 error (section 4.2). None: it is silently dropped.

    Fragmentation Needed becomes Packet Too Big; `packet_too_big_mtu` tells its MTU.
    """
    match icmp_type, code:
        case (3, 4):
            return Error(TOO_BIG6, 0)
        case (3, 2):  # protocol unreachable: IPv6 has it as an unrecognised next header
            return Error(PARAMETER_PROBLEM6, 1, _NEXT_HEADER)
        case (3, _) if code in _UNREACHABLE_46:
            return Error(UNREACHABLE6, _UNREACHABLE_46[code])
        case (11, _):
            return Error(TIME_EXCEEDED6, code)
        case (12, 0 | 2) if pointer in _POINTER_46:
            return Error(PARAMETER_PROBLEM6, 0, _POINTER_46[pointer])
        case _:
            return None


def error_64(icmp_type: int, code: int, pointer: int) -> Error | None:
    """Translate an ICMPv6 error (section 5.2). None: it is silently dropped.

    Packet Too Big becomes Fragmentation Needed; `fragmentation_needed_mtu` tells its MTU.
    """
    match icmp_type, code:
        case (1, _) if code in _UNREACHABLE_64:
            return Error(UNREACHABLE4, _UNREACHABLE_64[code])
        case (2, _):
            return Error(UNREACHABLE4, FRAGMENTATION_NEEDED)
        case (3, _):
            return Error(TIME_EXCEEDED4, code)
        case (4, 0) if pointer in _POINTER_64:
            return Error(PARAMETER_PROBLEM4, 0, _POINTER_64[pointer])
        case (4, 1):
            return Error(UNREACHABLE4, 2)
        case _:
            return None


def packet_too_big_mtu(mtu: int, quoted_bytes: int, *, mtu4: int, mtu6: int) -> int:
    """Return the MTU of a Packet Too Big made of a Fragmentation Needed (section 4.2).

    `mtu` is 0 when its router is older than RFC 1191: then the greatest plateau below
    `quoted_bytes`, the total length of the quoted packet, is taken for the path MTU.
    `mtu4` and `mtu6` are those of the next hops.
    """
    path_mtu = mtu + _HEADER_GROWTH if mtu else _plateau_below(quoted_bytes)
    return max(MINIMUM_MTU, min(path_mtu, mtu6, mtu4 + _HEADER_GROWTH))


def _plateau_below(quoted_bytes: int) -> int:
    likely = (mtu for mtu in PLATEAUS if MINIMUM_MTU <= mtu < quoted_bytes)
    return next(likely, MINIMUM_MTU)


def fragmentation_needed_mtu(mtu: int, *, quoted_fragment: bool, mtu4: int, mtu6: int) -> int:
    """Return the MTU of a Fragmentation Needed made of a Packet Too Big (section 5.2).

    A Fragment header in the quoted packet has no counterpart in IPv4: 8 bytes less fit.
    The result fits the 16 bits of the field; an `mtu` without room for the headers makes it 0.
    """
    growth = _HEADER_GROWTH + FRAGMENT_BYTES * quoted_fragment
    return max(0, min(mtu - growth, mtu4, mtu6 - growth, 0xFFFF))
