# SPDX-License-Identifier: Apache-2.0
"""A packet from words: "2001:db8::1 -> 64:ff9b::192.0.2.1 tcp/443"."""

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from sixlane.errors import ConfigError
from sixlane.rfc import protocol as proto
from sixlane.rfc.checksum import checksum
from sixlane.rfc.transport import pseudo_header

Address = IPv4Address | IPv6Address

_SOURCE_PORT = 49152  # the first of the dynamic ones (RFC 6335 6)
_TTL = 64
_HINT = (
    'such as "2001:db8::1 -> 64:ff9b::192.31.196.10 tcp/443" or '
    '"192.31.196.10:5000 -> 192.175.48.10 udp/53 ttl=1"'
)
_OPTIONS = {"ttl": (0, 255), "tos": (0, 255), "size": (20, 65535), "df": (0, 1), "id": (0, 65535)}
_FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128}
_SYN = 2


@dataclass(frozen=True)
class _End:
    address: Address
    port: int | None


def parse_flow(text: str) -> bytes:
    """The layer-3 packet that the words describe. ConfigError: they do not.

    `SOURCE -> DESTINATION PROTOCOL[/PORT] [OPTION=VALUE...]`. Either end may have a port:
    `192.0.2.1:80`, `[2001:db8::1]:80`. Protocols: tcp, udp, icmp (an echo request of the family),
    or a number. Options: ttl, tos, size (bytes of layer 3), df and id (IPv4), flags (TCP, letters
    of FSRPAUEC; S if left out).
    """
    ends, arrow, rest = text.partition("->")
    words = rest.split()
    if not arrow or len(words) < 2:
        raise ConfigError(f"not a packet in words: {text!r}", _HINT)
    source, destination = _end(ends.strip()), _end(words[0])
    if source.address.version != destination.address.version:
        raise ConfigError("source and destination are of different families", _HINT)
    number, port = _protocol(words[1], source.address.version)
    options = dict(_option(word) for word in words[2:])
    upper = _upper(
        number,
        source.port if source.port is not None else _SOURCE_PORT,
        port if port is not None else destination.port,
        options,
    )
    headers = 20 if source.address.version == 4 else 40
    size = int(options.get("size", headers + len(upper)))
    if size < headers + len(upper):
        raise ConfigError(f"size={size}: the headers alone are {headers + len(upper)} bytes")
    upper += bytes(size - headers - len(upper))
    upper = _with_checksum(number, upper, source.address, destination.address)
    if isinstance(source.address, IPv4Address) and isinstance(destination.address, IPv4Address):
        return _ipv4(number, upper, source.address, destination.address, options)
    ttl, tos = int(options.get("ttl", _TTL)), int(options.get("tos", 0))
    start = struct.pack("!IHBB", 6 << 28 | tos << 20, len(upper), number, ttl)
    return start + source.address.packed + destination.address.packed + upper


def _end(text: str) -> _End:
    port = None
    found = re.fullmatch(r"\[(.+)\]:(\d+)|([^:]+):(\d+)", text)
    if found:
        text, port = found[1] or found[3], int(found[2] or found[4])
        if port > 65535:
            raise ConfigError(f"no such port: {port}")
    try:
        return _End(ip_address(text.strip("[]")), port)
    except ValueError:
        raise ConfigError(f"not an address: {text!r}", _HINT) from None


def _protocol(word: str, version: int) -> tuple[int, int | None]:
    name, slash, port = word.lower().partition("/")
    numbers = {
        "tcp": proto.TCP,
        "udp": proto.UDP,
        "icmp": proto.ICMPV4 if version == 4 else proto.ICMPV6,
        "icmp6": proto.ICMPV6,
        "icmpv6": proto.ICMPV6,
    }
    number = numbers.get(name, int(name) if name.isascii() and name.isdecimal() else 256)
    if number > 255:
        raise ConfigError(f"no such protocol: {name!r}", "tcp, udp, icmp, or a number")
    if slash and not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise ConfigError(f"no such port: {port!r}")
    return number, int(port) if slash else None


def _option(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if name == "flags" and equals and set(value) <= _FLAGS.keys():
        return name, value
    if name not in _OPTIONS or not equals:
        known = ", ".join((*_OPTIONS, "flags"))
        raise ConfigError(f"no such option: {word!r}", f"options are {known}, with =VALUE")
    low, high = _OPTIONS[name]
    try:
        number = int(value, 0)
    except ValueError:
        number = -1
    if not low <= number <= high:
        raise ConfigError(f"{name} must be from {low} to {high}, not {value!r}")
    return name, str(number)


def _upper(number: int, source: int, destination: int | None, options: dict[str, str]) -> bytes:
    """The upper layer's header, its checksum zero."""
    if number in (proto.ICMPV4, proto.ICMPV6):
        return struct.pack("!BBHHH", 8 if number == proto.ICMPV4 else 128, 0, 0, 1, 1)
    if number not in (proto.TCP, proto.UDP):
        return b""
    if destination is None:
        raise ConfigError("a port is missing", _HINT)
    if number == proto.UDP:
        return struct.pack("!HHHH", source, destination, 0, 0)
    given = options.get("flags")
    flags = sum(_FLAGS[letter] for letter in set(given)) if given is not None else _SYN
    mss = struct.pack("!BBH", 2, 4, 1460) if flags & _SYN else b""
    return (
        struct.pack(
            "!HHIIBBHHH", source, destination, 1, 0, (20 + len(mss)) << 2, flags, 65535, 0, 0
        )
        + mss
    )


def _with_checksum(number: int, upper: bytes, source: Address, destination: Address) -> bytes:
    places = {proto.TCP: 16, proto.UDP: 6, proto.ICMPV4: 2, proto.ICMPV6: 2}
    if number not in places:
        return upper
    if number == proto.UDP:
        upper = upper[:4] + len(upper).to_bytes(2) + upper[6:]
    pseudo = (
        b"" if number == proto.ICMPV4 else pseudo_header(source, destination, len(upper), number)
    )
    field = checksum(pseudo + upper) or (0xFFFF if number == proto.UDP else 0)
    return upper[: places[number]] + field.to_bytes(2) + upper[places[number] + 2 :]


def _ipv4(
    number: int,
    upper: bytes,
    source: IPv4Address,
    destination: IPv4Address,
    options: dict[str, str],
) -> bytes:
    def header(check: int) -> bytes:
        return (
            struct.pack(
                "!BBHHHBBH",
                0x45,
                int(options.get("tos", 0)),
                20 + len(upper),
                int(options.get("id", 1)),
                0x4000 * int(options.get("df", 1)),
                int(options.get("ttl", _TTL)),
                number,
                check,
            )
            + source.packed
            + destination.packed
        )

    return header(checksum(header(0))) + upper
