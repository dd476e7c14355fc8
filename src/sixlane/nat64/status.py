# SPDX-License-Identifier: Apache-2.0
"""The gateway's state for people and programs: plain values, ready for JSON."""

from collections.abc import Mapping, Sequence

from sixlane.errors import SixlaneError
from sixlane.model import Gateway, Pool4
from sixlane.nat64.devices import NOT_ATTACHED, Chosen, Trouble, Use, choose_devices
from sixlane.nat64.native import only_native_by_route
from sixlane.nat64.observe import Observed
from sixlane.nat64.pools import addresses_of, indices
from sixlane.nat64.settings import unsettled

_SHOWN_ROUTES = 20


def gateway_status(
    observed: Observed, gateway: Gateway, bound: Mapping[str, int], known: Sequence[Trouble]
) -> dict[str, object]:
    """Name, generation, devices with how they are attached, prefixes, pool4, what is out of order.

    `bound`: as for `choose_devices`; `known`: troubles that cannot be observed.
    """
    chosen = choose_devices(gateway, observed, gateway, bound)
    found = {use.wanted.name: use.device for use in chosen.used}
    attached = {one.ifindex: one for one in observed.attachments if one.device}
    devices = []
    for wanted in gateway.spec.devices:
        device = found.get(wanted.name)
        attachment = attached.get(device.ifindex) if device else None
        devices.append(
            {
                "name": wanted.name,
                "attach": wanted.attach,
                "attached": attachment.mode if attachment else "no",
                "up": bool(device and device.up),
                "mtu": device.mtu if device else 0,
            }
        )
    native = only_native_by_route(gateway.spec.prefixes, observed.native)
    return {
        "name": gateway.metadata.name,
        "generation": observed.generation,
        "devices": devices,
        "prefixes": [
            {
                "name": prefix.name,
                "prefix": str(prefix.prefix),
                "ipv4": list(prefix.ipv4.texts),
                "eam": len(prefix.eam),
                "sourceRanges": None
                if prefix.load_balancer_source_ranges is None
                else len(prefix.load_balancer_source_ranges),
            }
            for prefix in gateway.spec.prefixes
        ],
        "pool4": [_pool_status(pool, observed) for pool in gateway.spec.pool4],
        "nativeRoutes": {
            "count": len(native),
            "first": [str(one) for one in native[:_SHOWN_ROUTES]],
        },
        "problems": [
            *(trouble.message for trouble in device_troubles(chosen, observed, known)),
            *_other_problems(observed),
        ],
    }


def _pool_status(pool: Pool4, observed: Observed) -> dict[str, object]:
    """Of ports and of blocks, how many clients have, and how many there are: ports are those of
    all protocols, and each block is of all."""
    index = indices(observed.placed)
    addresses = list(addresses_of(pool))
    found = [
        observed.taken[index[address]]
        for address in addresses
        if address in index and index[address] in observed.taken
    ]
    spans = (pool.ports.tcp, pool.ports.udp, pool.ports.icmp)
    size = pool.port_blocks.size
    blocks = {at for span in spans for at in range(span.first // size, span.last // size + 1)}
    ports = sum(span.last - span.first + 1 for span in spans)
    return {
        "name": pool.name,
        "ipv4": list(pool.ipv4.texts),
        "clients": [str(network) for network in pool.clients],
        "announce": pool.announce,
        "addresses": len(addresses),
        "ports": {"used": sum(one.ports for one in found), "total": ports * len(addresses)},
        "blocks": {
            "used": sum(one.blocks for one in found),
            "total": len(blocks) * len(addresses),
        },
    }


def device_troubles(chosen: Chosen, observed: Observed, known: Sequence[Trouble]) -> list[Trouble]:
    """What is wrong with the devices of a Gateway, as they are now."""
    troubles = [*chosen.troubles, *known]
    attached = {one.ifindex for one in observed.attachments if one.device}
    for use in chosen.used:
        name = use.wanted.name
        if use.device.ifindex not in attached and name not in {
            one.name for one in known if one.unused
        }:
            what = f"device {name} has no program attached"
            troubles.append(Trouble(name, NOT_ATTACHED, what))
        elif not use.device.up:
            troubles.append(Trouble(name, "DeviceDown", f"device {name} is down"))
    return troubles


def unsettled_troubles(use: Use) -> list[Trouble]:
    """The settings of a device that are not as they must be."""
    name = use.wanted.name
    try:
        return [
            Trouble(name, "SettingChanged", f"device {name}: {one}")
            for one in unsettled(use.device.ifindex)
        ]
    except SixlaneError as error:
        return [Trouble(name, "SettingImpossible", str(error))]


def _other_problems(observed: Observed) -> list[str]:
    problems = []
    if observed.slow_path is None:
        problems.append("the slow path is not there: nothing can be fragmented")
    if observed.more_than_destination:
        problems.append(f"next hops are not remembered: {observed.more_than_destination}")
    return problems
