# SPDX-License-Identifier: Apache-2.0
"""Kind `Dns64`: a resolver that makes AAAA records for IPv4-only names (RFC 6147)."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from sixlane.model.addresses import (
    Addresses,
    AnyAddress,
    Ipv6Ranges,
    Pool6,
    Ranges,
    parse_ipv4_ranges,
)
from sixlane.model.problem import shown, wrong
from sixlane.model.resource import Model, Resource
from sixlane.rfc import rfc6052

DNS_PORT = 53
IPV4_MAPPED = IPv6Network("::ffff:0:0/96")


def _parse_mapped(value: object) -> tuple[IPv4Network, ...]:
    """`any` stands for all IPv4 addresses."""
    if isinstance(value, list | tuple) and "any" in value:
        if len(value) > 1:
            raise wrong("any, and more beside it", "write [any], or the ranges alone")
        return (IPv4Network("0.0.0.0/0"),)
    return tuple(parse_ipv4_ranges(value))


def _mapped_as_text(value: tuple[IPv4Network, ...]) -> list[str]:
    return ["any" if network.prefixlen == 0 else str(network) for network in value]


class Dns64Prefix(Model):
    """One prefix that AAAA records are made with."""

    prefix: Annotated[Pool6, Field(description="RFC 6052: the IPv4 address stands behind it.")]
    exclude: Annotated[
        Ipv6Ranges, Field(description="AAAA records in these ranges count as absent.")
    ] = (IPV4_MAPPED,)
    mapped: Annotated[
        tuple[IPv4Network, ...],
        PlainValidator(_parse_mapped, json_schema_input_type=list[str]),
        PlainSerializer(_mapped_as_text, when_used="json"),
        Field(
            description="IPv4 ranges that this prefix is for; [any]: all.",
            examples=[["any"], ["192.0.2.0/24"]],
            json_schema_extra={"default": ["any"], "minItems": 1},
        ),
    ] = (IPv4Network("0.0.0.0/0"),)
    clients: Annotated[
        Ranges | None, Field(description="Who gets it; null: all clients of the resource.")
    ] = None

    @property
    def is_well_known(self) -> bool:
        return self.prefix == rfc6052.WELL_KNOWN

    @model_validator(mode="after")
    def _check(self) -> "Dns64Prefix":
        if not self.mapped:
            raise wrong("no IPv4 address is mapped", "write [any], or leave it out", ("mapped",))
        return self


class Dns64Spec(Model):
    """Where the resolver listens, for whom, and what it makes AAAA records with."""

    listen: Annotated[
        Addresses,
        Field(description="Addresses of this machine.", json_schema_extra={"minItems": 1}),
    ]
    port: Annotated[int, Field(ge=1, le=65535, description="UDP and TCP.")] = DNS_PORT
    clients: Annotated[
        Ranges,
        Field(description="Who may ask, and nobody else.", json_schema_extra={"minItems": 1}),
    ]
    prefixes: Annotated[tuple[Dns64Prefix, ...], Field(min_length=1, max_length=64, strict=False)]
    forwarders: Annotated[
        Addresses,
        Field(description="Resolvers that are asked; []: the DNS itself, from its root."),
    ] = ()
    dnssec_validation: Annotated[
        Literal["auto", "no"], Field(description="`auto`: with the root's trust anchor.")
    ] = "auto"

    @model_validator(mode="after")
    def _check(self) -> "Dns64Spec":
        if not self.listen:
            raise wrong("no address to listen on", "addresses of this machine", ("listen",))
        if not self.clients:
            raise wrong("no clients", "the ranges that may ask", ("clients",))
        seen: set[AnyAddress] = set()
        for index, address in enumerate(self.listen):
            if address in seen:
                raise wrong(f"{address} stands twice", "", ("listen", index))
            if address.is_unspecified or address.is_multicast or address.is_link_local:
                raise wrong(
                    f"{shown(address)} does not name one place of this machine",
                    "an address of this machine that clients can route to; name each",
                    ("listen", index),
                )
            seen.add(address)
        for index, address in enumerate(self.forwarders):
            if address in seen and self.port == DNS_PORT:
                raise wrong(
                    f"{address} would ask itself",
                    "a forwarder is another resolver",
                    ("forwarders", index),
                )
            if address.is_unspecified or address.is_multicast:
                raise wrong(f"{address} is no resolver's address", "", ("forwarders", index))
        first: dict[IPv6Network, int] = {}
        for index, prefix in enumerate(self.prefixes):
            if prefix.prefix in first:
                raise wrong(
                    f"{prefix.prefix} stands twice",
                    f"already in prefixes[{first[prefix.prefix]}]",
                    ("prefixes", index, "prefix"),
                )
            first[prefix.prefix] = index
        return self


class Dns64(Resource):
    """One resolver. Several may run beside each other on different addresses."""

    kind: Literal["Dns64"]
    spec: Dns64Spec
