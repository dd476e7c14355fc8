# SPDX-License-Identifier: Apache-2.0
"""Stateful NAT64 (RFC 6146) in a `Gateway`: what addresses clients share, and their sessions."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator

from sixlane.model.addresses import Ipv4Ranges, Ipv6Range, never_a_source, parse_ipv6_ranges
from sixlane.model.problem import Path, path_text, shown, wrong
from sixlane.model.ranges import Spans
from sixlane.model.resource import Model, checked_name

MAX_POOLS = 16
MAX_RANGES = 32
MAX_ADDRESSES = 256
SMALLEST_BLOCK, LARGEST_BLOCK = 64, 1024
MAX_BLOCKS = 8
LONGEST_LIFETIME_S = 2_592_000
_LAST_PORT = 65535
_LONGEST_PATH = 4095  # PATH_MAX, without the NUL
_PORTS = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")


class PortSpan(NamedTuple):
    """First and last port; of ICMP, identifier."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def _ports(least: int) -> tuple[Any, ...]:
    """Makes a type for first and last port, of which none is below `least`."""

    def parse(value: object) -> PortSpan:
        if isinstance(value, PortSpan):
            return value
        found = _PORTS.fullmatch(value) if isinstance(value, str) else None
        if not found:
            raise wrong(f"{shown(value)} is not a range of ports", 'first-last, as in "1024-65535"')
        first, last = map(int, found.groups())
        if first > last:
            raise wrong(f"{value} begins behind its end", f"did you mean {last}-{first}?")
        if first < least or last > _LAST_PORT:
            raise wrong(f"{value} has ports that there are not", f"{least} to {_LAST_PORT}")
        return PortSpan(first, last)

    text = Annotated[str, Field(pattern=f"^{_PORTS.pattern}$", examples=["1024-65535"])]
    return (
        PlainValidator(parse, json_schema_input_type=text),
        PlainSerializer(str, return_type=str, when_used="json"),
    )


class Ports(Model):
    """Which ports of its addresses an entry may use."""

    tcp: Annotated[PortSpan, *_ports(1), Field(json_schema_extra={"default": "1024-65535"})] = (
        PortSpan(1024, _LAST_PORT)
    )
    udp: Annotated[PortSpan, *_ports(1), Field(json_schema_extra={"default": "1024-65535"})] = (
        PortSpan(1024, _LAST_PORT)
    )
    icmp: Annotated[
        PortSpan,
        *_ports(0),
        Field(
            description="Identifiers of echo requests.", json_schema_extra={"default": "0-65535"}
        ),
    ] = PortSpan(0, _LAST_PORT)


def _check_block_size(size: int) -> int:
    if size & (size - 1):
        raise wrong(f"{size} is not a power of two", "64, 128, 256, 512 or 1024")
    return size


class PortBlocks(Model):
    """Ports are given to a client by the block, for all protocols at once."""

    size: Annotated[
        int,
        Field(
            ge=SMALLEST_BLOCK,
            le=LARGEST_BLOCK,
            description="Ports in a block; a power of two. Changing it ends all sessions.",
        ),
        AfterValidator(_check_block_size),
    ] = 256
    per_client: Annotated[
        int, Field(ge=1, le=MAX_BLOCKS, description="A client has so many at most.")
    ] = MAX_BLOCKS


_EVERYBODY = (IPv6Network("::/0"),)


def _parse_clients(value: object) -> tuple[IPv6Network, ...]:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple) and not value:
        raise wrong("nobody would use it", "::/0 for all")
    return parse_ipv6_ranges(value)


def _networks_as_text(value: tuple[IPv6Network, ...]) -> list[str]:
    return [str(network) for network in value]


class Pool4(Model):
    """IPv4 addresses that inside nodes share, and how much of them each client may have."""

    name: Annotated[str, *checked_name(31), Field(description="Names it in tables and logs.")]
    ipv4: Annotated[
        Ipv4Ranges,
        Field(description="What its clients are seen as outside; at most 256 addresses in all."),
    ]
    clients: Annotated[
        tuple[IPv6Network, ...],
        PlainValidator(_parse_clients, json_schema_input_type=list[Ipv6Range] | Ipv6Range),
        PlainSerializer(_networks_as_text, when_used="json"),
        Field(
            description="Which inside sources use it: the longest network decides.",
            json_schema_extra={"default": ["::/0"]},
        ),
    ] = _EVERYBODY
    ports: Annotated[
        Ports, Field(description="First and last port of its addresses that clients get.")
    ] = Ports()
    port_blocks: PortBlocks = PortBlocks()
    announce: Annotated[
        Literal["none", "l2", "route"],
        Field(
            description="How others find its addresses: by routes of theirs; by ARP, which is "
            "answered on the devices that have IPv4; by a route here, for a routing daemon."
        ),
    ] = "none"
    sessions_per_client: Annotated[
        int, Field(ge=0, le=1 << 24, description="At a time; 0: no limit.")
    ] = 0

    @property
    def ranges(self) -> list[tuple[IPv4Address, int]]:
        """First address and how many, of ranges that do not touch each other."""
        spans = self.ipv4.spans
        return [
            (IPv4Address(int(first)), int(end) - int(first))
            for first, end in zip(spans.starts, spans.ends, strict=True)
        ]

    @model_validator(mode="after")
    def _check(self) -> "Pool4":
        if not self.ipv4:
            raise wrong("no addresses", "as in ipv4: [192.31.196.8/30]", ("ipv4",))
        for index, network in enumerate(self.ipv4):
            illegal = never_a_source(network)
            if illegal:
                what = f"{network} overlaps {illegal}, which no node has"
                raise wrong(what, "", ("ipv4", index))
        return self


class Lifetimes(Model):
    """How long a session lives without packets, in seconds (RFC 6146 section 4)."""

    udp: Annotated[int, Field(ge=120, le=LONGEST_LIFETIME_S)] = 300
    icmp: Annotated[
        int, Field(ge=60, le=LONGEST_LIFETIME_S, description="Of echo requests (RFC 5508).")
    ] = 60
    tcp_established: Annotated[
        int,
        Field(ge=7200, le=LONGEST_LIFETIME_S, description="While the connection is open."),
    ] = 7440
    tcp_transitory: Annotated[
        int,
        Field(ge=240, le=LONGEST_LIFETIME_S, description="While it is opened or closed."),
    ] = 240
    tcp_incoming_syn: Annotated[
        int,
        Field(
            ge=6,
            le=LONGEST_LIFETIME_S,
            description="A SYN from outside that nobody waits for is answered after it.",
        ),
    ] = 6


class MaxSessions(Model):
    """How much there is room for."""

    sessions: Annotated[int, Field(ge=1024, le=1 << 24)] = 262144
    bindings: Annotated[
        int, Field(ge=1024, le=1 << 24, description="Inside addresses with a port.")
    ] = 131072
    clients: Annotated[int, Field(ge=64, le=1 << 24)] = 16384


def _check_log_place(value: str) -> str:
    if value == "journal":
        return value
    if not value.startswith("/"):
        raise wrong(f"{shown(value)} is no absolute path", "journal, or as in /var/log/sixlane/log")
    if value.endswith("/") or not value.isprintable() or len(value.encode()) > _LONGEST_PATH:
        raise wrong(f"{shown(value)} is not the path of a file", "as in /var/log/sixlane/log")
    return value


class SessionLog(Model):
    """Who had which ports of pool4, and when: one line each as it begins and as it ends."""

    blocks: Annotated[
        bool, Field(description="Port blocks that clients get and give back: few lines.")
    ] = False
    sessions: Annotated[
        bool, Field(description="Sessions that are made and that end: two lines each.")
    ] = False
    to: Annotated[
        str,
        AfterValidator(_check_log_place),
        Field(
            description="`journal`: where the agent's log goes; or the absolute path of a file.",
            examples=["/var/log/sixlane/log"],
            json_schema_extra={"pattern": "^(journal|/.*[^/])$", "maxLength": _LONGEST_PATH},
        ),
    ] = "journal"

    @property
    def is_on(self) -> bool:
        return self.blocks or self.sessions


class Sessions(Model):
    """What holds for the sessions of all entries of pool4."""

    filtering: Annotated[
        Literal["endpoint-independent", "address-dependent"],
        Field(
            description="Who may send to a port of pool4 that is bound: everybody, or the "
            "addresses that the node inside has sent to."
        ),
    ] = "endpoint-independent"
    tcp_from_outside: Annotated[
        Literal["accept", "drop"],
        Field(description="SYNs from outside to a bound port."),
    ] = "accept"
    client_prefix_length: Annotated[
        int,
        Field(
            ge=32,
            le=128,
            description="Inside addresses that share so many bits are one client. Changing it "
            "ends all sessions.",
        ),
    ] = 64
    lifetimes: Annotated[
        Lifetimes,
        Field(description="How long a session lives without packets, in seconds."),
    ] = Lifetimes()
    max: Annotated[
        MaxSessions,
        Field(description="How many there is room for. Changing it ends all sessions."),
    ] = MaxSessions()
    log: Annotated[
        SessionLog,
        Field(description="Who had which ports: lines for the journal or a file."),
    ] = SessionLog()


def check_pools(pools: Sequence[Pool4], sessions: Sessions) -> None:
    """Whether they go together; paths are those of `spec`."""
    _refuse_same_clients(pools)
    _refuse_parts_of_clients(pools, sessions.client_prefix_length)
    _refuse_shared(pools)
    ranges = [one for pool in pools for one in pool.ranges]
    addresses = sum(count for _, count in ranges)
    if addresses > MAX_ADDRESSES:
        raise wrong(f"pool4 has {addresses} addresses", f"{MAX_ADDRESSES} at most", ("pool4",))
    if len(ranges) > MAX_RANGES:
        what = f"pool4 has {len(ranges)} ranges that do not touch"
        raise wrong(what, f"{MAX_RANGES} at most", ("pool4",))
    networks = sum(len(pool.clients) for pool in pools)
    if networks > MAX_POOLS:
        what = f"pool4 has {networks} networks of clients"
        raise wrong(what, f"{MAX_POOLS} at most, over all entries", ("pool4",))


def refuse_served(pools: Sequence[Pool4], served: Spans, by: str) -> None:
    """Whether no address of pool4 stands for a node as well. `by`: whom the message names."""
    found = _shared(pools, served)
    if found:
        hint = "an address is shared by sessions, or stands for one node, not both"
        raise wrong(f"{found[0]} is served by {by}", hint, found[1])


def _shared(pools: Sequence[Pool4], others: Spans) -> tuple[IPv4Network, Path] | None:
    """The first range of pool4 that has an address of others, and where it stands."""
    for at, pool in enumerate(pools):
        for index, network in enumerate(pool.ipv4):
            one = Spans.of(network.network_address.packed, bytes([network.prefixlen]))
            if one.overlap(others):
                return network, ("pool4", at, "ipv4", index)
    return None


def _refuse_same_clients(pools: Sequence[Pool4]) -> None:
    first: dict[IPv6Network, Path] = {}
    for at, pool in enumerate(pools):
        for index, network in enumerate(pool.clients):
            given = "clients" in pool.model_fields_set
            path: Path = ("pool4", at, "clients", index) if given else ("pool4", at)
            if network in first:
                hint = (
                    f"already in {path_text(first[network])}; each entry needs clients of its own"
                )
                raise wrong(f"{network} uses two entries", hint, path)
            first[network] = path


def _refuse_parts_of_clients(pools: Sequence[Pool4], client_bits: int) -> None:
    """A client has one address, so one entry."""
    for at, pool in enumerate(pools):
        for index, network in enumerate(pool.clients):
            if network.prefixlen > client_bits:
                raise wrong(
                    f"{network} is a part of a client, which is a /{client_bits}",
                    f"a longer sessions.clientPrefixLength, or a /{client_bits} here",
                    ("pool4", at, "clients", index),
                )


def _refuse_shared(pools: Sequence[Pool4]) -> None:
    for at, pool in enumerate(pools):
        found = _shared(pools[:at], pool.ipv4.spans)
        if found:
            what = f"{found[0]} is in two entries"
            raise wrong(what, f"also in {path_text(('pool4', at))}", found[1])
