# SPDX-License-Identifier: Apache-2.0
"""The gateway's state for people and programs: plain values, ready for JSON."""

from collections.abc import Mapping, Sequence

from sixlane.errors import SixlaneError
from sixlane.model import Gateway
from sixlane.nat64.devices import NOT_ATTACHED, Chosen, Trouble, Use, choose_devices
from sixlane.nat64.native import only_native_by_route
from sixlane.nat64.observe import Observed
from sixlane.nat64.settings import unsettled

_SHOWN_ROUTES = 20


def gateway_status(
    observed: Observed, gateway: Gateway, bound: Mapping[str, int], known: Sequence[Trouble]
) -> dict[str, object]:
    """Name, generation, devices with how they are attached, prefixes, and what is out of order.

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
        "nativeRoutes": {
            "count": len(native),
            "first": [str(one) for one in native[:_SHOWN_ROUTES]],
        },
        "problems": [
            *(trouble.message for trouble in device_troubles(chosen, observed, known)),
            *_other_problems(observed),
        ],
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
