# SPDX-License-Identifier: Apache-2.0
"""Sessions and bindings (RFC 6146) that a traced packet has, or would make, in words."""

from ipaddress import IPv4Address, IPv6Address

from sixlane.datapath.layout import FlowKind
from sixlane.datapath.simulate import Tracked


def words(one: Tracked) -> str:
    inside = _end(one.inside, one.inside_port)
    pool = _end(*one.pool) if one.pool else "pool4"
    match one.kind:
        case FlowKind.FLOW_SESSION:
            return f"has a session: {inside} is {pool}, {one.state}, {one.left_s} s left"
        case FlowKind.FLOW_NEW_SESSION:
            return f"belongs to a binding: {inside} is {pool}"
        case FlowKind.FLOW_NEW_BINDING:
            return f"needs a new binding: {inside} would be {pool}{_block(one)}; {_client(one)}"
        case _:
            return f"needs a binding, and there would be none for {inside}; {_client(one)}"


def _block(one: Tracked) -> str:
    """A new binding's port is drawn from a block."""
    port = one.pool[1] if one.pool else 0
    within = next((block for block in one.blocks or () if block[0] <= port <= block[1]), None)
    return f" or another port of {within[0]}-{within[1]}" if within else " by a new block of ports"


def _client(one: Tracked) -> str:
    name = f"client {one.client}"
    if one.blocks is None:
        return f"{name} has nothing in pool4"
    if not one.bindings:
        return f"{name} is new"
    return (
        f"{name} has {len(one.blocks)} of {one.most_blocks} blocks, {one.bindings} bindings, "
        f"{one.sessions} sessions"
    )


def _end(address: IPv4Address | IPv6Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
