# SPDX-License-Identifier: Apache-2.0
"""Packets for the comparison of data path and reference: mostly translatable, some hostile.

`build_packet(rng, translator)` needs no hypothesis. The strategies draw one seed, for speed,
and a short list of mutations, so that a failure shrinks to a small seed and few mutations.
"""

import random
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import NamedTuple

from hypothesis import strategies as st

from sixlane.rfc import rfc6052
from sixlane.rfc.checksum import checksum, update
from sixlane.rfc.rfc7915 import Prefix, Translator
from sixlane.rfc.transport import pseudo_header
from tests.diff.configurations import CONFIGURATIONS
from tests.diff.mutations import KINDS, Mutation, mutate, put

__all__ = [
    "CONFIGURATIONS",
    "build_clean_packet",
    "build_packet",
    "build_super_packet",
    "cases",
    "packets",
]

# --- addresses -----------------------------------------------------------------------------

_GLOBAL = [IPv4Network(n) for n in ("192.31.196.0/24", "192.52.193.0/24", "8.0.0.0/8")]
_CURIOUS = [
    IPv4Address(a)
    for a in (
        *("0.0.0.0", "0.255.255.255", "127.0.0.1", "224.0.0.1", "239.255.255.255"),
        *("240.0.0.1", "255.255.255.255", "10.1.2.3", "100.64.0.1", "100.128.0.1"),
        *("169.254.1.1", "172.15.255.255", "172.31.255.255", "172.32.0.0", "192.0.0.8"),
        *("192.0.0.9", "192.0.0.10", "192.0.0.11", "192.0.1.0", "192.0.2.1", "192.88.99.1"),
        *("192.168.1.1", "198.18.0.1", "198.20.0.0", "198.51.100.1", "203.0.113.1"),
    )
]
_CURIOUS6 = [
    IPv6Address(a) for a in ("::", "::1", "ff02::1", "2001:db8:dead::1", "::ffff:192.0.2.1")
]

Address = IPv4Address | IPv6Address


class Ends(NamedTuple):
    """Source and destination of a packet, in its own family and in the other one.

    `node`: whose packet an ICMP error is about, where the source is a router on the way to it.
    """

    source: Address
    destination: Address
    other_source: Address
    other_destination: Address
    node: Address | None = None

    def back(self) -> "Ends":
        """Return the ends of a packet in the opposite direction."""
        source = self.node or self.source
        return Ends(self.destination, source, self.other_destination, self.other_source)

    def by_router(self, router: Address) -> "Ends":
        """Return the ends of what a router on the way has to say."""
        return self._replace(source=router, node=self.source)

    def pseudo_headers(self, length: int, protocol: int) -> tuple[bytes, bytes]:
        """Return the pseudo-headers of a packet before and after translation."""
        return (
            pseudo_header(self.source, self.destination, length, protocol),
            pseudo_header(self.other_source, self.other_destination, length, protocol),
        )


def _inside_network(network: IPv4Network, rng: random.Random) -> IPv4Address:
    return network[rng.randrange(network.num_addresses)]


def _outside_address(rng: random.Random, translator: Translator, entry: Prefix) -> IPv4Address:
    chance = rng.random()
    if chance < 0.1:
        return rng.choice(_CURIOUS)
    remote = [eam.ipv4 for p in translator.prefixes for eam in p.eam if eam.remote]
    if remote and chance < 0.4:
        return _inside_network(rng.choice(remote), rng)
    if entry.sources and chance < 0.9:
        return _inside_network(rng.choice(entry.sources), rng)
    return _inside_network(rng.choice(_GLOBAL), rng)


def _ends46(rng: random.Random, translator: Translator) -> Ends:
    """Return the ends of a packet from outside to inside."""
    addresses = translator.addresses
    entry = rng.choice(translator.prefixes)
    inside = _inside_network(rng.choice(entry.serves()), rng)
    entry = addresses.serving(inside) or entry
    outside = _outside_address(rng, translator, entry)
    return Ends(
        outside, inside, addresses.to_ipv6(outside, entry), addresses.to_ipv6(inside, entry)
    )


def _ends64(rng: random.Random, translator: Translator) -> Ends:
    """Return the ends of a packet from inside to outside."""
    outside4, inside4, outside6, inside6, _ = _ends46(rng, translator)
    native = [network for network in translator.native if network.version == 6]
    if native and rng.random() < 0.5:
        network = rng.choice(native)
        outside6 = network[rng.randrange(min(network.num_addresses, 1 << 64))]
        outside4 = translator.addresses.to_ipv4(outside6) or outside4
    return Ends(
        _with_suffix(rng, translator, inside6),
        _with_suffix(rng, translator, outside6),
        inside4,
        outside4,
    )


def _ends66(rng: random.Random, translator: Translator) -> Ends:
    """Return the ends of a packet from inside to inside, by the IPv4 address of the latter."""
    addresses = translator.addresses
    entry, other = rng.choice(translator.prefixes), rng.choice(translator.prefixes)
    source = _inside_network(rng.choice(entry.serves()), rng)
    destination = _inside_network(rng.choice(other.serves()), rng)
    entry = addresses.serving(source) or entry
    other = addresses.serving(destination) or other
    called = rfc6052.embed(entry.network, destination)
    if addresses.is_native(called):
        called = rfc6052.embed(rng.choice(translator.prefixes).network, destination)
    return Ends(
        addresses.to_ipv6(source, entry),
        called,
        rfc6052.embed(other.network, source),
        addresses.to_ipv6(destination, other),
    )


def _router(rng: random.Random, translator: Translator, ends: Ends) -> Address:
    """Return a router's address: of the network outside, of none, or of a node inside."""
    if isinstance(ends.source, IPv4Address):
        return rng.choice(_CURIOUS) if rng.random() < 0.3 else _inside_network(_GLOBAL[2], rng)
    if rng.random() < 0.7:
        return IPv6Address(0x20010DB8_00FE << 80 | rng.getrandbits(64))
    return _ends64(rng, translator).source


def _with_suffix(rng: random.Random, translator: Translator, address: Address) -> Address:
    """Sometimes set bits that RFC 6052 and RFC 7757 ignore on the way to IPv4."""
    if rng.random() < 0.8:
        return address
    networks = [p.network for p in translator.prefixes if address in p.network]
    networks += [eam.ipv6 for p in translator.prefixes for eam in p.eam if address in eam.ipv6]
    length = min((network.prefixlen for network in networks), default=128)
    ignored = max(0, 128 - length - 32 - 8 * (length < 72))
    u_octet = rng.getrandbits(8) << 56 if length < 72 else 0
    return IPv6Address(int(address) | rng.getrandbits(ignored or 1) * (ignored > 0) | u_octet)


def _oddly(rng: random.Random, ends: Ends) -> Ends:
    """Sometimes replace an end by an address that should not be there."""
    if rng.random() > 0.06:
        return ends
    is4 = isinstance(ends.source, IPv4Address)
    odd: Address = rng.choice(_CURIOUS) if is4 else rng.choice(_CURIOUS6)
    if not is4 and rng.random() < 0.5:
        odd = rfc6052.embed(rfc6052.WELL_KNOWN, rng.choice(_CURIOUS))
    chance = rng.random()
    if chance < 0.5:
        return ends._replace(source=odd)
    return ends._replace(destination=odd) if chance < 0.8 else ends.back()


# --- upper layers --------------------------------------------------------------------------

_TOTALS = (1252, 1260, 1280, 1372, 1380, 1400, 1472, 1480, 1500, 1520, 1528)
"""Packet sizes in bytes near which a decision changes, with and without a Fragment header."""

_QUOTES = (556, 576, 596, 1240, 1260, 1280, 1980, 2000, 2020, 2100)
"""Sizes of ICMP errors, in bytes, near which something is cut or dropped."""

_SEGMENTS = (1, 536, 1200, 1220, 1232, 1240, 1260, 1400, 1428, 1432, 1440, 1452, 1460, 1472)
"""Data in the segments of super-packets, in bytes, near which a decision changes."""

_TCP, _UDP, _ICMPV4, _ICMPV6 = 6, 17, 1, 58
_OTHER_PROTOCOLS = (4, 41, 47, 50, 51, 59, 132, 135, 136, 253)
_FORBIDDEN4 = (0, 2, 43, 44, 58, 60)

_ERRORS4 = [
    *((3, code) for code in (*range(17), 1, 3, 3, 4, 4, 4, 4, 4, 4)),
    *((11, code) for code in (0, 1)),
    *((12, code) for code in (0, 0, 0, 0, 2, 2, 1, 3)),
]
_ERRORS6 = [
    *((1, code) for code in (*range(7), 0, 1, 4, 4, 4)),
    *((2, code) for code in (0, 0, 0, 0, 0, 0, 1)),
    *((3, code) for code in (0, 1)),
    *((4, code) for code in (0, 0, 0, 0, 0, 1, 1, 2, 3)),
]
_OTHER_TYPES4 = (4, 5, 9, 10, 13, 14, 15, 16, 17, 18, 30, 128, 255)
_OTHER_TYPES6 = (0, 5, 100, 127, 130, 133, 134, 135, 136, 137, 143, 200, 255)
_MTUS = (0, 0, 1, 19, 20, 28, 68, 576, 1260, 1279, 1280, 1400, 1472, 1480, 1500, 9000, 65535)


def _data(rng: random.Random, header_bytes: int) -> bytes:
    """Return data of a few bytes, or so much that the packet is just below or above a limit."""
    if rng.random() < 0.8:
        return rng.randbytes(rng.randrange(48))
    total = rng.choice(_TOTALS) + rng.choice((-8, -1, 0, 0, 1, 8))
    return rng.randbytes(max(0, total - header_bytes))


def _with_checksum(
    rng: random.Random, message: bytes, at: int, old: bytes, new: bytes | None
) -> bytes:
    """Fill in a checksum: mostly right, else at an edge of ones' complement, else wrong."""
    chance = rng.random()
    if chance < 0.75:
        return put(message, at, checksum(old + message))
    if chance < 0.85 and new is not None:
        return put(message, at, update(0, new, old))  # which translation brings to zero
    if chance < 0.95:
        return put(message, at, rng.choice((0, 0xFFFF, 1, 0xFFFE)))
    return put(message, at, rng.getrandbits(16))


def _tcp_options(rng: random.Random) -> bytes:
    """Return options of a TCP header, padded to a multiple of 4 bytes, 40 at most."""
    if rng.random() < 0.4:
        return rng.randbytes(rng.choice((0, 0, 4, 12, 40)))
    options = b""
    for _ in range(rng.randrange(6)):
        mss = rng.choice((88, 535, 536, 537, 1299, 1300, 1301, 1460, 8960, 65535))
        options += rng.choice(
            (
                b"\x02\x04" + mss.to_bytes(2),
                b"\x02\x04" + mss.to_bytes(2),
                b"\x01" * rng.randrange(1, 4),
                b"\x03\x03\x07",
                b"\x04\x02",
                b"\x08\x0a" + rng.randbytes(8),
                b"\0" if rng.random() < 0.2 else b"\x01",
                bytes((rng.choice((2, 5, 254)), rng.choice((0, 1, 3, 4, 40)))),
            )
        )
    return (options + b"\0" * (-len(options) % 4))[:40]


def _tcp(rng: random.Random, ends: Ends, room: int) -> bytes:
    options = _tcp_options(rng)
    header_bytes = 20 + len(options)
    segment = struct.pack(
        "!HHIIBBHHH",
        *(rng.getrandbits(16), rng.getrandbits(16), rng.getrandbits(32), rng.getrandbits(32)),
        *(header_bytes // 4 << 4, rng.getrandbits(8), rng.getrandbits(16), 0, 0),
    )
    segment += options + _data(rng, room + header_bytes)
    return _with_checksum(rng, segment, 16, *ends.pseudo_headers(len(segment), _TCP))


def _udp(rng: random.Random, ends: Ends, room: int) -> bytes:
    data = _data(rng, room + 8)
    ports = rng.getrandbits(16), rng.getrandbits(16)
    length = 8 + len(data)
    if rng.random() < 0.06:  # no checksum; a length that need not be true
        if rng.random() < 0.3:
            length = rng.choice((0, 7, 8, length - 1, length + 1)) & 0xFFFF
        return struct.pack("!HHHH", *ports, length, 0) + data
    datagram = struct.pack("!HHHH", *ports, length, 0) + data
    return _with_checksum(rng, datagram, 6, *ends.pseudo_headers(len(datagram), _UDP))


def _icmp(rng: random.Random, ends: Ends, icmp_type: int, code: int, body: bytes) -> bytes:
    """Return an ICMP message of the family of `ends`; `body` starts after the checksum."""
    message = bytes((icmp_type, code, 0, 0)) + body
    old, _ = ends.pseudo_headers(len(message), _ICMPV6)
    is4 = isinstance(ends.source, IPv4Address)
    return _with_checksum(rng, message, 2, b"" if is4 else old, None)


def _echo(rng: random.Random, ends: Ends, room: int) -> bytes:
    is4 = isinstance(ends.source, IPv4Address)
    icmp_type = rng.choice((0, 8) if is4 else (128, 129))
    code = 0 if rng.random() < 0.95 else rng.getrandbits(8)
    return _icmp(rng, ends, icmp_type, code, rng.randbytes(4) + _data(rng, room + 8))


def _other_icmp(rng: random.Random, ends: Ends, room: int) -> bytes:
    is4 = isinstance(ends.source, IPv4Address)
    icmp_type = rng.choice(_OTHER_TYPES4 if is4 else _OTHER_TYPES6)
    return _icmp(rng, ends, icmp_type, rng.getrandbits(3), rng.randbytes(4) + _data(rng, room + 8))


def _icmp_error(rng: random.Random, ends: Ends, depth: int) -> bytes:
    """Return an ICMP error about a packet in the opposite direction, cut at some place."""
    is4 = isinstance(ends.source, IPv4Address)
    icmp_type, code = rng.choice(_ERRORS4 if is4 else _ERRORS6)
    rest = b"\0\0\0\0" if rng.random() < 0.9 else rng.randbytes(4)
    if is4 and icmp_type == 12:
        rest = bytes((rng.choice((*range(24), *range(12, 20))), 0, 0, 0))
    elif is4 and (icmp_type, code) == (3, 4):
        rest = struct.pack("!HH", rng.choice((0, 0, 0, 1)), rng.choice(_MTUS))
    elif not is4 and icmp_type == 2:
        rest = rng.choice((*_MTUS, 65536, 2**32 - 1)).to_bytes(4)
    elif not is4 and icmp_type == 4:
        rest = rng.choice((*range(44), 255, 2**16 + 6, 2**32 - 1)).to_bytes(4)
    quote = _quote(rng, ends.back(), depth + 1)
    if depth == 0 and rng.random() < 0.3:
        rest, quote = _extended(rng, is4, rest, quote)
    return _icmp(rng, ends, icmp_type, code, rest + quote)


def _extended(rng: random.Random, is4: bool, rest: bytes, quote: bytes) -> tuple[bytes, bytes]:
    """Put an extension behind a quote (RFC 4884), and its length into the header; not all right."""
    unit = 4 if is4 else 8
    units = max(128 // unit, -(-len(quote) // unit))
    if rng.random() < 0.3:
        units = rng.choice((128 // unit - 1, 128 // unit, 160 // unit, 512 // unit, 255))
    units = min(units, 255)
    sizes = (0, 1, 3, 4, 8, 20, 33, 64, 200, 419, 420, 421, 448, 1104, 1105)
    extension = rng.randbytes(rng.choice(sizes))
    quote = quote[: units * unit].ljust(units * unit, b"\0") + extension
    at = 1 if is4 else 0
    return rest[:at] + bytes((units,)) + rest[at + 1 :], quote


def _quote(rng: random.Random, ends: Ends, depth: int) -> bytes:
    ends = _oddly(rng, ends)
    if rng.random() < 0.02:  # of the other family
        ends = Ends(ends.other_source, ends.other_destination, ends.source, ends.destination)
    packet = _packet(rng, ends, depth)
    chance = rng.random()
    if chance < 0.35:
        return packet
    header_bytes = 20 if isinstance(ends.source, IPv4Address) else 40
    if chance < 0.6:
        return packet[: header_bytes + 8]
    if chance < 0.86:
        return packet[: header_bytes + rng.randrange(-2, 64)]
    if chance < 0.91:
        return packet[: rng.randrange(len(packet) + 1)]
    if chance < 0.96:
        return packet + rng.randbytes(rng.randrange(1, 24))
    # As long as an error may be that comes in, or as one that goes out (RFC 4884's are below).
    quote_bytes = rng.choice(_QUOTES) - header_bytes - 8 + rng.choice((-8, -4, -1, 0, 0, 1, 4))
    return packet + rng.randbytes(max(0, quote_bytes - len(packet)))


def _upper(rng: random.Random, ends: Ends, depth: int, room: int) -> tuple[int, bytes]:
    """Return a protocol number and an upper-layer packet; `room` bytes of headers precede it."""
    is4 = isinstance(ends.source, IPv4Address)
    icmp = _ICMPV4 if is4 else _ICMPV6
    chance = 0.7 if ends.node else rng.random()  # routers send errors
    if chance < 0.25:
        return _TCP, _tcp(rng, ends, room)
    if chance < 0.5:
        return _UDP, _udp(rng, ends, room)
    if chance < 0.68:
        return icmp, _echo(rng, ends, room)
    if chance < 0.9 and (depth == 0 or rng.random() < 0.15) and depth < 3:
        return icmp, _icmp_error(rng, ends, depth)
    if chance < 0.92:
        return icmp, _other_icmp(rng, ends, room)
    if chance < 0.94:
        return rng.choice(_FORBIDDEN4 if is4 else (_ICMPV4,)), _data(rng, room)
    return rng.choice(_OTHER_PROTOCOLS), _data(rng, room)


# --- packets -------------------------------------------------------------------------------


class _Cut(NamedTuple):
    """A fragment's place: offset in units of 8 bytes, and whether more fragments follow."""

    offset: int
    more: bool


def _cut(rng: random.Random, payload: bytes) -> tuple[_Cut, bytes]:
    """Return a first, middle or last fragment's place, and its data made of `payload`."""
    kind = rng.randrange(3)
    offset = 0 if kind == 0 else rng.choice((1, 2, 185, 8189, 8190, 8191, rng.randrange(1, 8192)))
    more = kind < 2
    if offset and rng.random() < 0.95:
        room = 65535 - offset * 8
        payload = payload[: room // 8 * 8 if more else room]
    if more and rng.random() < 0.95:
        payload = payload[:-8] if len(payload) > 1000 else payload
        payload += rng.randbytes(-len(payload) % 8)
    return _Cut(offset, more), payload


def _ttl(rng: random.Random, depth: int) -> int:
    chance = rng.random()
    if chance < 0.04 or (depth and chance < 0.3):
        return rng.randrange(2)
    return rng.choice((2, 63, 255, rng.randrange(2, 256)))


def _options(rng: random.Random) -> bytes:
    """Return IPv4 options, padded to a multiple of 4 bytes, 40 at most."""
    options = b""
    for _ in range(rng.randrange(1, 4)):
        options += rng.choice(
            (
                b"\x01",
                b"\x94\x04\0\0",  # router alert
                b"\x07\x07\x04\0\0\0\0",  # record route
                b"\x44\x08\x05\0\0\0\0\0",  # timestamp
                b"\x83\x07\x08\xc0\x1f\xc4\x01",  # loose source route, used up
                b"\x89\x07\x04\xc0\x1f\xc4\x01" if rng.random() < 0.3 else b"\x01",  # unexpired
                rng.randbytes(4) if rng.random() < 0.3 else b"\x01\x01",
            )
        )
    return (options + b"\0" * (-len(options) % 4))[:40]


def _packet4(rng: random.Random, ends: Ends, depth: int) -> bytes:
    options = _options(rng) if rng.random() < 0.12 else b""
    header_bytes = 20 + len(options)
    protocol, payload = _upper(rng, ends, depth, header_bytes)
    flags = rng.choice((0, 0x4000)) | (0x8000 if rng.random() < 0.02 else 0)
    fragment_share = 0.02 if protocol == _ICMPV4 else 0.2
    if rng.random() < fragment_share:
        cut, payload = _cut(rng, payload)
        flags |= cut.offset | 0x2000 * cut.more
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x40 | header_bytes // 4, rng.getrandbits(8), header_bytes + len(payload)),
        *(rng.getrandbits(16), flags, _ttl(rng, depth), protocol, 0),
        *(ends.source.packed, ends.destination.packed),
    )
    return put(header, 10, checksum(header + options)) + options + payload


def _extension(rng: random.Random, kind: int) -> bytes:
    """Return an extension header whose Next Header is yet to be set."""
    length = rng.choice((0, 0, 0, 1, 2, 5))
    body = bytearray(rng.randbytes(6 + 8 * length))
    if kind == 43:
        body[1] = 0 if rng.random() < 0.8 else rng.getrandbits(8)
    return bytes((0, length)) + bytes(body)


def _chain(rng: random.Random) -> list[tuple[int, bytes]]:
    """Return extension headers to be skipped; few of the chains are too long."""
    count = rng.choice((1, 1, 1, 2, 2, 3, 7, 8, 9))
    kinds = [rng.choice((0, 60, 60, 43)) for _ in range(count)]
    return [(kind, _extension(rng, kind)) for kind in kinds]


def _packet6(rng: random.Random, ends: Ends, depth: int) -> bytes:
    chain = _chain(rng) if rng.random() < 0.15 else []
    room = 40 + sum(len(header) for _, header in chain)
    protocol, payload = _upper(rng, ends, depth, room)

    fragment_share = 0.04 if protocol == _ICMPV6 else 0.2
    if rng.random() < fragment_share:
        atomic = rng.random() < (0.8 if protocol == _ICMPV6 else 0.25)
        cut, payload = (_Cut(0, False), payload) if atomic else _cut(rng, payload)
        reserved = rng.getrandbits(2) << 1 if rng.random() < 0.1 else 0
        place = cut.offset << 3 | reserved | cut.more
        chain.append((44, struct.pack("!BBHI", 0, 0, place, rng.getrandbits(32))))
        if rng.random() < 0.05:
            chain.append((rng.choice((0, 43, 44, 51, 60)), _extension(rng, 60)))

    extensions, next_header = b"", protocol
    for kind, header in reversed(chain):
        extensions = bytes((next_header,)) + header[1:] + extensions
        next_header = kind
    return (
        struct.pack(
            "!IHBB16s16s",
            6 << 28 | rng.getrandbits(28),
            len(extensions) + len(payload),
            next_header,
            _ttl(rng, depth),
            ends.source.packed,
            ends.destination.packed,
        )
        + extensions
        + payload
    )


def _packet(rng: random.Random, ends: Ends, depth: int) -> bytes:
    build = _packet4 if isinstance(ends.source, IPv4Address) else _packet6
    return build(rng, ends, depth)


def build_clean_packet(rng: random.Random, translator: Translator) -> bytes:
    """Return a layer-3 packet whose lengths are true and whose IPv4 header checksum is right."""
    direction = rng.choice((_ends46, _ends64, _ends46, _ends64, _ends66))
    ends = _oddly(rng, direction(rng, translator))
    if rng.random() < 0.08:
        ends = ends.by_router(_router(rng, translator, ends))
    return _packet(rng, ends, depth=0)


def build_packet(rng: random.Random, translator: Translator) -> bytes:
    """Return a layer-3 packet for `translator`: three of four are clean, the others mutated."""
    packet = build_clean_packet(rng, translator)
    mutations = [
        Mutation(rng.choice(KINDS), rng.getrandbits(12), rng.getrandbits(16))
        for _ in range(rng.choice((0, 0, 0, 0, 0, 0, 1, 1, 2)))
    ]
    return mutate(packet, mutations)


def build_super_packet(rng: random.Random, translator: Translator) -> tuple[bytes, int]:
    """Return a TCP or UDP packet of up to 3,000 bytes, and how much data its segments have.

    Some IPv4 packets say no length, as BIG TCP does. No options and no extension headers: for a
    test run the kernel has no type of GSO, and refuses to take them out.
    """
    direction = rng.choice((_ends46, _ends64, _ends46, _ends64, _ends66))
    ends = _oddly(rng, direction(rng, translator))
    is4 = isinstance(ends.source, IPv4Address)
    build, protocol = rng.choice(((_tcp, _TCP), (_udp, _UDP)))
    payload = build(rng, ends, 20 if is4 else 40)
    payload += rng.randbytes(rng.randrange(1500)) if rng.random() < 0.5 else b""
    pieces = rng.choice((*_SEGMENTS, rng.randrange(1, 1500)))
    if not is4:
        first = 6 << 28 | rng.getrandbits(28)
        start = struct.pack("!IHBB", first, len(payload), protocol, _ttl(rng, 0))
        return start + ends.source.packed + ends.destination.packed + payload, pieces
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, rng.getrandbits(8), 20 + len(payload) if rng.random() < 0.7 else 0),
        *(rng.getrandbits(16), rng.choice((0, 0x4000)), _ttl(rng, 0), protocol, 0),
        *(ends.source.packed, ends.destination.packed),
    )
    return put(header, 10, checksum(header)) + payload, pieces


# --- strategies ----------------------------------------------------------------------------

_no_mutations: st.SearchStrategy[list[Mutation]] = st.just([])
_some_mutations = st.lists(
    st.builds(Mutation, st.sampled_from(KINDS), st.integers(0, 4095), st.integers(0, 65535)),
    min_size=1,
    max_size=3,
)


def packets(translator: Translator) -> st.SearchStrategy[bytes]:
    """Draw layer-3 packets for `translator`."""
    return st.builds(
        lambda seed, mutations: mutate(
            build_clean_packet(random.Random(seed), translator), mutations
        ),
        st.integers(0, 2**32 - 1),
        st.one_of(_no_mutations, _no_mutations, _some_mutations),
    )


def cases() -> st.SearchStrategy[tuple[Translator, bytes]]:
    """Draw a configuration and a layer-3 packet for it."""
    return st.sampled_from(CONFIGURATIONS).flatmap(
        lambda translator: st.tuples(st.just(translator), packets(translator))
    )
