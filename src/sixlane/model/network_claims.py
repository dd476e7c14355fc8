# SPDX-License-Identifier: Apache-2.0
"""Addresses of a `Network` that something else on the machine has: pods would share them."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

from sixlane.model.addresses import AnyNetwork
from sixlane.model.dns64 import Dns64
from sixlane.model.gateway import Gateway
from sixlane.model.network import Network, PoolRanges, StatelessEgress, node_address
from sixlane.model.problem import Path, ResourceError
from sixlane.model.ranges import RangeList, Spans

_ELSEWHERE = "addresses that nothing else has"


def check_network(network: Network, gateway: Gateway | None, resolvers: Iterable[Dns64]) -> None:
    """Whether it goes with the Gateway and the resolvers. Raises `ResourceError` about it."""
    pools = PoolRanges(network.spec.pools)
    _refuse_listeners(network, pools, resolvers)
    if gateway is None:
        return
    _refuse_pool6(network, pools, gateway)
    for path, one in _ipv4_of(network):
        for what, spans in _ipv4_of_gateway(gateway):
            if _spans(one).overlap(spans):
                raise _error(network, f"{one} {what} of the Gateway", path, _ELSEWHERE)
    if network.spec.stateless_egress:
        _check_egress(network, network.spec.stateless_egress, gateway)


def _error(network: Network, what: str, path: Path, hint: str) -> ResourceError:
    return ResourceError(what, ("spec", *path), hint, where=str(network.key))


def _refuse_listeners(network: Network, pools: PoolRanges, resolvers: Iterable[Dns64]) -> None:
    """A resolver may listen on the node's own address of a range, and on no pod's."""
    for resolver in resolvers:
        for address in resolver.spec.listen:
            found = pools.holding(address)
            if found and address != node_address(found[1]):
                path, one = found
                what = f"{resolver.key} listens on {address} in {one}"
                hint = f"a pod may get it; {node_address(one)} is the node's"
                raise _error(network, what, path, hint)


def _refuse_pool6(network: Network, pools: PoolRanges, gateway: Gateway) -> None:
    """No part of a range stands for IPv4 addresses. A whole range may: its pods then have addresses
    of RFC 6052 as their own, which are native where a prefix serves them."""
    for prefix in gateway.spec.prefixes:
        found = pools.meeting(prefix.prefix)
        if found and prefix.prefix[0] in found[1]:
            path, one = found
            what = f"{one} holds {prefix.prefix}, prefix {prefix.name} of the Gateway"
            raise _error(network, what, path, _ELSEWHERE)


def _ipv4_of(network: Network) -> Iterator[tuple[Path, IPv4Network]]:
    """Of pools, and where each stands."""
    for at, pool in enumerate(network.spec.pools):
        for index, one in enumerate(pool.ranges):
            if isinstance(one, IPv4Network):
                yield ("pools", at, "ranges", index), one


def _ipv4_of_gateway(gateway: Gateway) -> Iterator[tuple[str, Spans]]:
    """All that is no pod's own, and what it is."""
    for pool in gateway.spec.pool4:
        yield f"overlaps pool4 {pool.name}", pool.ipv4.spans
    for prefix in gateway.spec.prefixes:
        yield f"is served by prefix {prefix.name}", prefix.ipv4.spans
        yield f"is served by prefix {prefix.name}", prefix.eam.served


def _check_egress(network: Network, egress: StatelessEgress, gateway: Gateway) -> None:
    """What stands for pods stands for nothing else, and under no other prefix."""
    for at, one in enumerate(egress.ipv4):
        path, spans = ("statelessEgress", "ipv4", at), _spans(one)
        for pool in gateway.spec.pool4:
            if spans.overlap(pool.ipv4.spans):
                what = f"{one} overlaps pool4 {pool.name} of the Gateway"
                hint = "an address is shared by sessions, or stands for one pod, not both"
                raise _error(network, what, path, hint)
        for prefix in gateway.spec.prefixes:
            if spans.overlap(prefix.eam.served):
                what = f"{one} has addresses that eam of prefix {prefix.name} maps to others"
                raise _error(network, what, path, _ELSEWHERE)
            if prefix.prefix != egress.prefix and spans.overlap(prefix.ipv4.spans):
                what = f"{one} is served by prefix {prefix.name} of the Gateway"
                hint = f"that is {prefix.prefix}, and statelessEgress has {egress.prefix}"
                raise _error(network, what, path, hint)


def _spans(network: IPv4Network) -> Spans:
    return RangeList.of([network]).spans


def ranges_of(network: Network) -> Iterator[tuple[str, AnyNetwork]]:
    """All addresses that pods may get, by ranges that do not overlap, and what each is."""
    for pool in network.spec.pools:
        for one in pool.ranges:
            yield f"pool {pool.name}", one
    if network.spec.stateless_egress:
        for ipv4 in network.spec.stateless_egress.ipv4:
            yield "statelessEgress", ipv4
