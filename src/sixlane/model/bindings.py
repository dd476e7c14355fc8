# SPDX-License-Identifier: Apache-2.0
"""Static bindings in a `Gateway` (RFC 6146 3.1): inside ports that always have the same outside."""

from collections.abc import Sequence
from ipaddress import IPv6Network
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sixlane.model.addresses import Ipv4, Ipv6
from sixlane.model.pool4 import Pool4
from sixlane.model.problem import Path, likely, path_text, wrong
from sixlane.model.resource import Model

MAX_BINDINGS = 4096
_Port = Annotated[int, Field(ge=0, le=65535)]


class StaticBinding(Model):
    """An inside address and port, and what it is outside, for good. Keys as `sixlane bib` has
    them."""

    protocol: Literal["tcp", "udp", "icmp"]
    inside: Annotated[Ipv6, Field(description="A node inside.")]
    inside_port: Annotated[_Port, Field(description="Of ICMP, the identifier of echo requests.")]
    pool: Annotated[Ipv4, Field(description="One of the addresses of pool4.")]
    pool_port: Annotated[
        _Port, Field(description="Any: it need not be one of those that clients get.")
    ]
    prefix: Annotated[
        str | None,
        Field(
            description="By which of `prefixes` the node sees who opens a session from outside. "
            "Left out: the first one."
        ),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> "StaticBinding":
        for key, port in (("insidePort", self.inside_port), ("poolPort", self.pool_port)):
            if not port and self.protocol != "icmp":
                raise wrong(f"{self.protocol} has no port 0", "1 to 65535", (key,))
        return self


def check_bindings(
    bindings: Sequence[StaticBinding],
    pools: Sequence[Pool4],
    prefixes: Sequence[tuple[str, IPv6Network]],
) -> None:
    """Whether they go together, and with pool4 and pool6; paths are those of `spec`."""
    first: dict[object, int] = {}
    names = [name for name, _ in prefixes]
    for at, one in enumerate(bindings):
        path: Path = ("bindings", at)
        if not any(one.pool in network for pool in pools for network in pool.ipv4):
            hint = "one of pool4[].ipv4"
            raise wrong(f"{one.pool} is no address of pool4", hint, (*path, "pool"))
        if not any(one.inside in network for pool in pools for network in pool.clients):
            hint = "in one of pool4[].clients"
            raise wrong(f"{one.inside} is no client of pool4", hint, (*path, "inside"))
        for name, network in prefixes:
            if one.inside in network:
                what = f"{one.inside} is under prefix {name}, so it needs no pool4"
                raise wrong(what, "an address of the node itself", (*path, "inside"))
        if one.prefix is not None and one.prefix not in names:
            what = f"there is no prefix {one.prefix}"
            raise wrong(what, likely(one.prefix, names), (*path, "prefix"))
        for key, ends in (
            ("poolPort", (one.protocol, one.pool, one.pool_port)),
            ("insidePort", (one.protocol, one.inside, one.inside_port)),
        ):
            if ends in first:
                protocol, address, port = ends
                what = f"{protocol} port {port} of {address} is bound twice"
                hint = f"already in {path_text(('bindings', first[ends]))}"
                raise wrong(what, hint, (*path, key))
            first[ends] = at
