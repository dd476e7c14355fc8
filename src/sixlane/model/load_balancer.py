# SPDX-License-Identifier: Apache-2.0
"""What holds for all `Service`s of a machine, in its `Gateway`."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from sixlane.model.addresses import AnyNetwork, RoutedRanges
from sixlane.model.problem import shown, wrong
from sixlane.model.resource import Model

TUNNEL_SOURCES: dict[int, AnyNetwork] = {
    4: IPv4Network("198.18.0.0/15"),
    6: IPv6Network("100::/64"),
}
"""For benchmarks (RFC 2544) and to be discarded (RFC 6666): nobody has them, or answers to them."""

LONGEST_SEED = 64


def _check_seed(seed: str) -> str:
    if not seed.isprintable() or not 0 < len(seed.encode()) <= LONGEST_SEED:
        raise wrong(f"{shown(seed)} is no seed", f"1 to {LONGEST_SEED} bytes of text, on one line")
    return seed


class MaxBalanced(Model):
    """How much there is room for."""

    services: Annotated[int, Field(ge=1, le=65535)] = 16384
    backends: Annotated[
        int, Field(ge=1, le=(1 << 20) - 1, description="Of all services together.")
    ] = 131072
    ring_entries: Annotated[
        int,
        Field(
            ge=1 << 17,
            le=1 << 27,
            description="Of the Maglev tables of all services, 4 bytes each. A change needs room "
            "for the old and the new table.",
        ),
    ] = 1 << 24
    flows: Annotated[
        int, Field(ge=1024, le=1 << 26, description="That are remembered, 8 bytes each.")
    ] = 1 << 20
    nat_flows: Annotated[int, Field(ge=1024, le=1 << 24, description="With `mode: nat`.")] = 262144


class LoadBalancer(Model):
    """What holds for all Services."""

    tunnel_sources: Annotated[
        RoutedRanges,
        Field(
            description="Tunnels to backends come from there: an address for each flow, so that "
            "a backend's NIC spreads them over its queues. One range of each family at most.",
            json_schema_extra={"default": [str(one) for one in TUNNEL_SOURCES.values()]},
        ),
    ] = tuple(TUNNEL_SOURCES.values())
    hash_seed: Annotated[
        str,
        AfterValidator(_check_seed),
        Field(
            description="Decides which flow goes where: the same on all gateways of a group, and "
            "known to nobody else.",
            json_schema_extra={"minLength": 1, "maxLength": LONGEST_SEED},
        ),
    ] = "sixlane"
    max: Annotated[
        MaxBalanced,
        Field(description="How many there is room for. Changing it ends all flows of nat."),
    ] = MaxBalanced()

    def tunnel_source(self, version: int) -> AnyNetwork:
        """Where tunnels of a family come from."""
        given = (one for one in self.tunnel_sources if one.version == version)
        return next(given, TUNNEL_SOURCES[version])

    @model_validator(mode="after")
    def _check(self) -> "LoadBalancer":
        first: dict[int, int] = {}
        for at, one in enumerate(self.tunnel_sources):
            if one.version in first:
                hint = f"already tunnelSources[{first[one.version]}]; one range of each family"
                raise wrong(
                    f"{one} is a second IPv{one.version} range", hint, ("tunnelSources", at)
                )
            first[one.version] = at
        return self
