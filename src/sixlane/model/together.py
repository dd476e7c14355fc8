# SPDX-License-Identifier: Apache-2.0
"""What must hold between all resources of one machine."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from sixlane.model.claims import check_services, claims_alike
from sixlane.model.dns64 import Dns64
from sixlane.model.gateway import Gateway
from sixlane.model.network import Network
from sixlane.model.network_claims import check_network
from sixlane.model.parse import AnyResource
from sixlane.model.problem import ResourceError
from sixlane.model.service import Service

_Single = TypeVar("_Single", Gateway, Network)


def check_together(resources: Iterable[AnyResource]) -> None:
    """Costs by how many there are: 10 ms for 10,000 services.

    Raises `ResourceError` about the latter of two that cannot be together; about the service, of a
    service and something else; about the Network, of that and a Gateway or Dns64.
    """
    gateways: list[Gateway] = []
    resolvers: list[Dns64] = []
    services: list[Service] = []
    networks: list[Network] = []
    for resource in resources:
        if isinstance(resource, Service):
            services.append(resource)
        elif isinstance(resource, Gateway):
            gateways.append(resource)
        elif isinstance(resource, Network):
            networks.append(resource)
        else:
            resolvers.append(resource)
    gateway, network = _only_one(gateways), _only_one(networks)
    _refuse_shared_listeners(resolvers)
    if network:
        check_network(network, gateway, resolvers)
    if services:
        check_services(services, gateway, resolvers, network)


def is_alone(before: AnyResource | None, after: AnyResource | None) -> bool:
    """Whether a change of one resource is no matter for the others: `check_together` would find
    what it found before."""
    return isinstance(before, Service) and (
        after is None or (isinstance(after, Service) and claims_alike(before, after))
    )


def _only_one(found: Sequence[_Single]) -> _Single | None:
    if len(found) > 1:
        one, two = found[:2]
        kind = one.kind
        raise ResourceError(
            f"a machine has one {kind}, and here are {one.name} and {two.name}",
            ("metadata", "name"),
            f"give both one name, or take the other away: sixlane delete {kind.lower()} {one.name}",
            where=str(two.key),
        )
    return found[0] if found else None


def _refuse_shared_listeners(resolvers: Iterable[Dns64]) -> None:
    listeners: dict[tuple[object, int], str] = {}
    for resolver in resolvers:
        for at, address in enumerate(resolver.spec.listen):
            other = listeners.setdefault((address, resolver.spec.port), resolver.name)
            if other != resolver.name:
                raise ResourceError(
                    f"Dns64 {other} listens on {address} port {resolver.spec.port} already",
                    ("spec", "listen", at),
                    "give each its own address",
                    where=str(resolver.key),
                )
