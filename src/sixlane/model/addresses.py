# SPDX-License-Identifier: Apache-2.0
"""Field types for IP addresses and ranges, read from text."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, TypeVar

from pydantic import Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from sixlane.model.problem import Path, shown, wrong
from sixlane.model.ranges import RangeList
from sixlane.rfc import rfc6052

AnyAddress = IPv4Address | IPv6Address
AnyNetwork = IPv4Network | IPv6Network

_Address = TypeVar("_Address", IPv4Address, IPv6Address)
_Network = TypeVar("_Network", IPv4Network, IPv6Network)
_Parsed = TypeVar("_Parsed")

_POOL6_LENGTHS = ", ".join(f"/{length}" for length in rfc6052.PREFIX_LENGTHS)


def parse_ipv4_address(value: object) -> IPv4Address:
    """Raises what `wrong` makes, as all parsers here do."""
    return _parse_address(IPv4Address, value)


def parse_ipv6_address(value: object) -> IPv6Address:
    return _parse_address(IPv6Address, value)


def parse_address(value: object) -> AnyAddress:
    """An address of either family."""
    return parse_ipv6_address(value) if _looks_ipv6(value) else parse_ipv4_address(value)


def parse_ipv4_network(value: object) -> IPv4Network:
    """A range. An address without a length is a range of one."""
    return _parse_network(IPv4Network, value)


def parse_ipv6_network(value: object) -> IPv6Network:
    return _parse_network(IPv6Network, value)


def parse_network(value: object) -> AnyNetwork:
    """A range of either family."""
    return parse_ipv6_network(value) if _looks_ipv6(value) else parse_ipv4_network(value)


def parse_pool6(value: object) -> IPv6Network:
    """A translation prefix: a length of RFC 6052, and zero in bits 64 to 71."""
    network = parse_ipv6_network(value)
    if network.prefixlen not in rfc6052.PREFIX_LENGTHS:
        raise wrong(
            f"{network} has length /{network.prefixlen}",
            f"RFC 6052 allows {_POOL6_LENGTHS}",
        )
    if not rfc6052.is_valid_prefix(network):
        raise wrong(
            f"{network} has bits set among bits 64 to 71",
            "RFC 6052 section 2.2 keeps them zero: the fifth group is below 100",
        )
    unusable = not_routed(network)
    if unusable:
        raise wrong(
            f"{network} overlaps {unusable}, which is not routed",
            "take 64:ff9b::/96, a part of 64:ff9b:1::/48, or a prefix of your own",
        )
    return network


def parse_routed(value: object) -> AnyAddress:
    """An address that packets can be sent to from afar."""
    address = parse_address(value)
    block = not_routed(parse_network(str(address)))
    if block:
        raise wrong(f"{address} is in {block}, which is not routed", "an address of one node")
    return address


def parse_routed_ranges(value: object) -> tuple[AnyNetwork, ...]:
    return _parse_list(value, parse_routed_network)


def parse_routed_network(value: object) -> AnyNetwork:
    """A range that packets can be sent to from afar."""
    network = parse_network(value)
    block = not_routed(network)
    if block:
        raise wrong(f"{network} overlaps {block}, which is not routed")
    return network


def parse_ipv4_ranges(value: object) -> RangeList:
    """Also of 100,000; those are in the common form, or each takes longer."""
    if isinstance(value, RangeList):
        return value
    if isinstance(value, list | tuple):
        try:
            return RangeList.of_texts(value)
        except (ValueError, KeyError, OSError):
            pass
    return RangeList.of(_parse_list(value, parse_ipv4_network))


def parse_ipv6_ranges(value: object) -> tuple[IPv6Network, ...]:
    return _parse_list(value, parse_ipv6_network)


def parse_ranges(value: object) -> tuple[AnyNetwork, ...]:
    return _parse_list(value, parse_network)


def parse_addresses(value: object) -> tuple[AnyAddress, ...]:
    return _parse_list(value, parse_address)


def _parse_list(value: object, parse: Callable[[object], _Parsed]) -> tuple[_Parsed, ...]:
    if not isinstance(value, list | tuple):
        hint = f"write [{value}]" if isinstance(value, str) else ""
        raise wrong(f"{shown(value)} is not a list", hint)
    parsed = []
    for index, item in enumerate(value):
        try:
            parsed.append(parse(item))
        except PydanticCustomError as error:
            context = error.context or {}
            raise wrong(context["what"], context["hint"], (index, *context["path"])) from None
    return tuple(parsed)


def _looks_ipv6(value: object) -> bool:
    return isinstance(value, IPv6Address | IPv6Network) or (isinstance(value, str) and ":" in value)


def _parse_address(family: type[_Address], value: object) -> _Address:
    if isinstance(value, family):
        return value
    name = _family_name(family)
    if not isinstance(value, str):
        raise wrong(f"{shown(value)} is not an {name} address", "write it in quotes")
    try:
        address = family(value)
    except ValueError:
        hint = "an address, without a length" if "/" in value else _other_family(family, value)
        raise wrong(f"{shown(value)} is not an {name} address", hint) from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise wrong(f"{shown(value)} has a zone", "write it without % and what follows")
    return address


def _parse_network(family: type[_Network], value: object) -> _Network:
    if isinstance(value, family):
        return value
    name = _family_name(family)
    if not isinstance(value, str):
        raise wrong(f"{shown(value)} is not an {name} range", "write it in quotes")
    address, slash, length = value.partition("/")
    if "%" in address:
        raise wrong(f"{shown(value)} has a zone", "write it without % and what follows")
    if slash and not (length.isascii() and length.isdecimal()):
        raise wrong(f"{shown(value)} is not an {name} range", "write the length as in /24")
    try:
        return family(value)
    except ValueError:
        pass
    try:
        mended = family(value, strict=False)
    except ValueError:
        hint = _other_family(family, address)
        raise wrong(f"{shown(value)} is not an {name} range", hint) from None
    raise wrong(f"{value} has bits set behind its length", f"did you mean {mended}?")


def _family_name(family: type[object]) -> str:
    return "IPv4" if family in (IPv4Address, IPv4Network) else "IPv6"


def _other_family(family: type[object], text: str) -> str:
    """A hint, if `text` would do in the other family."""
    other = IPv6Address if _family_name(family) == "IPv4" else IPv4Address
    try:
        other(text)
    except ValueError:
        return ""
    return f"it is an {_family_name(other)} address"


def _field(parse: Callable[[object], Any], schema: Any) -> tuple[Any, Any]:
    return PlainValidator(parse, json_schema_input_type=schema), _AS_TEXT


def _as_text(value: object) -> object:
    return [str(item) for item in value] if isinstance(value, tuple) else str(value)


_AS_TEXT = PlainSerializer(_as_text, when_used="json")


def _text(pattern: str, example: str) -> Any:
    """Text that is like this, at least: the schema of what a parser looks at more closely."""
    return Annotated[str, Field(pattern=f"^{pattern}$", examples=[example])]


def _list_of(text: Any) -> Any:
    return list[text]


_V4, _V6 = r"[0-9.]+", r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
_LENGTH4, _LENGTH6 = r"(/[0-9]{1,2})?", r"(/[0-9]{1,3})?"
_IPV4_TEXT = _text(_V4, "192.175.48.1")
_IPV6_TEXT = _text(_V6, "2001:db8::1")
_IPV4_RANGE_TEXT = _text(_V4 + _LENGTH4, "192.175.48.0/24")
_IPV6_RANGE_TEXT = _text(_V6 + _LENGTH6, "2001:db8:64::/64")
_POOL6_TEXT = _text(_V6 + f"/({'|'.join(map(str, rfc6052.PREFIX_LENGTHS))})", "64:ff9b::/96")
_ADDRESS_TEXT = _text(f"({_V4}|{_V6})", "2001:db8:64::1")
_RANGE_TEXT = _text(f"({_V4}{_LENGTH4}|{_V6}{_LENGTH6})", "2001:db8:64::/64")


def ranges_read_by(parse: Callable[[object], tuple[AnyNetwork, ...]]) -> tuple[Any, Any]:
    """Makes a type of ranges of both families."""
    return _field(parse, _list_of(_RANGE_TEXT))


Ipv4 = Annotated[IPv4Address, *_field(parse_ipv4_address, _IPV4_TEXT)]
Ipv6 = Annotated[IPv6Address, *_field(parse_ipv6_address, _IPV6_TEXT)]
Ipv4Range = Annotated[IPv4Network, *_field(parse_ipv4_network, _IPV4_RANGE_TEXT)]
Ipv6Range = Annotated[IPv6Network, *_field(parse_ipv6_network, _IPV6_RANGE_TEXT)]
Pool6 = Annotated[IPv6Network, *_field(parse_pool6, _POOL6_TEXT)]
Ipv4Ranges = Annotated[
    RangeList,
    PlainValidator(parse_ipv4_ranges, json_schema_input_type=_list_of(_IPV4_RANGE_TEXT)),
]
Ipv6Ranges = Annotated[
    tuple[IPv6Network, ...], *_field(parse_ipv6_ranges, _list_of(_IPV6_RANGE_TEXT))
]
Ranges = Annotated[tuple[AnyNetwork, ...], *ranges_read_by(parse_ranges)]
Routed = Annotated[AnyAddress, *_field(parse_routed, _ADDRESS_TEXT)]
RoutedRange = Annotated[AnyNetwork, *_field(parse_routed_network, _RANGE_TEXT)]
RoutedRanges = Annotated[tuple[AnyNetwork, ...], *ranges_read_by(parse_routed_ranges)]
Addresses = Annotated[tuple[AnyAddress, ...], *_field(parse_addresses, _list_of(_ADDRESS_TEXT))]


def not_global(network: IPv4Network) -> IPv4Network | None:
    """A part of `network` that the well-known prefix may not stand for (RFC 6052 3.1), or None."""
    for block in rfc6052.NOT_GLOBAL:
        if block.supernet_of(network):
            alone = network.prefixlen == 32
            return None if alone and rfc6052.is_global(network.network_address) else block
        if network.supernet_of(block):
            return block
    return None


NEVER_A_SOURCE = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")))


def never_a_source(network: IPv4Network) -> IPv4Network | None:
    """A part of `network` that no node can have as its address, or None."""
    return next((block for block in NEVER_A_SOURCE if block.overlaps(network)), None)


def refuse_behind(prefix: IPv6Network, network: IPv4Network, path: Path) -> None:
    """Whether the addresses of `network` may stand for nodes behind a translation prefix."""
    if network.prefixlen == 0:
        raise wrong("0.0.0.0/0 would take all IPv4 addresses", "give what you own", path)
    illegal = never_a_source(network)
    if illegal:
        raise wrong(f"{network} overlaps {illegal}, which no node has", "", path)
    private = not_global(network) if prefix == rfc6052.WELL_KNOWN else None
    if private:
        part = f"{network} is" if private.supernet_of(network) else f"{network} holds {private},"
        raise wrong(
            f"{part} not global, so {prefix} cannot stand for it",
            "RFC 6052 section 3.1: take a part of 64:ff9b:1::/48 or a prefix of your own",
            path,
        )


_NOT_ROUTED: tuple[AnyNetwork, ...] = (
    *NEVER_A_SOURCE,
    IPv4Network("169.254.0.0/16"),
    *map(IPv6Network, ("::/96", "::ffff:0:0/96", "fe80::/10", "ff00::/8")),
)


def not_routed(network: AnyNetwork) -> AnyNetwork | None:
    """A part of `network` that nothing is sent to from afar, or None."""
    first, last = int(network.network_address), int(network.broadcast_address)
    for block_first, block_last, block in _NOT_ROUTED_SPANS[network.version]:
        if block_first <= last and first <= block_last:
            return block
    return None


_NOT_ROUTED_SPANS = {
    version: [(int(one[0]), int(one[-1]), one) for one in _NOT_ROUTED if one.version == version]
    for version in (4, 6)
}
