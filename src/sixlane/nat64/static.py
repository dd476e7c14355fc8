# SPDX-License-Identifier: Apache-2.0
"""Static bindings put in force: those of the Gateway, in tables that packets change meanwhile."""

from collections.abc import Iterator, Mapping

from sixlane.datapath import Datapath, StaticBinding
from sixlane.datapath.layout import BindResult
from sixlane.model import Gateway
from sixlane.nat64.devices import Trouble

NOT_BOUND = "BindingNotInForce"

Static = frozenset[StaticBinding]

_WHY = {
    BindResult.BIND_INSIDE_BOUND: "sessions have bound that inside port to another one",
    BindResult.BIND_PORT_TAKEN: "another binding has that port",
    BindResult.BIND_NO_ROOM: "there is no room for a binding, or no port block for its client",
    BindResult.BIND_NOT_POOL4: "the tables in force have no such address, or no such client",
}


def static_of(gateway: Gateway, prefix_ids: Mapping[str, int]) -> Static:
    """`prefix_ids`: as they will be in force."""
    spec = gateway.spec
    return frozenset(
        StaticBinding(
            one.protocol,
            one.inside,
            one.inside_port,
            one.pool,
            one.pool_port,
            prefix_ids[one.prefix or spec.prefixes[0].name],
        )
        for one in spec.bindings
    )


def static_changes(wanted: Static, seen: Static) -> Iterator[str]:
    """What is to be bound that is not, and the other way round: a line each."""
    for one in sorted(seen - wanted):
        if one.ends not in {other.ends for other in wanted}:
            yield f"remove the binding of {named(one)}"
    for one in sorted(wanted - seen):
        yield f"bind {named(one)}"


def bind_all(datapath: Datapath, wanted: Static) -> list[Trouble]:
    """Makes it so; what is in the way is told, and is to be tried again.

    First those go that are not wanted: their ports may be.
    """
    seen = datapath.static_bindings()
    ends = {one.ends for one in wanted}
    for one in seen:
        if one.ends not in ends:
            datapath.bind_static(one, wanted=False)
    troubles = []
    for one in sorted(wanted - seen):
        result = datapath.bind_static(one)
        if result != BindResult.BIND_DONE:
            what = f"binding {named(one)} is not in force: {_WHY[result]}"
            troubles.append(Trouble("", NOT_BOUND, what))
    return troubles


def named(one: StaticBinding) -> str:
    outside = f"{one.pool}:{one.pool_port}"
    return f"{one.protocol} {outside} to [{one.inside}]:{one.inside_port}"
