# SPDX-License-Identifier: Apache-2.0
"""The gateway's state for people and programs: plain values, ready for JSON."""

from collections.abc import Mapping, Sequence

from sixlane.datapath import Datapath
from sixlane.model import Gateway
from sixlane.nat64.devices import Chosen, Trouble, choose_devices
from sixlane.nat64.observe import Observed, observe_gateway


def gateway_status(
    datapath: Datapath,
    gateway: Gateway | None,
    bound: Mapping[str, int] | None = None,
    failed: Sequence[Trouble] = (),
) -> dict[str, object]:
    """Name, generation, devices with how they are attached, prefixes, and what is out of order.

    `bound`: as for `choose_devices`; `failed`: what the last apply could not do.
    """
    observed = observe_gateway(datapath)
    chosen = choose_devices(gateway, observed, gateway, bound or {}) if gateway else Chosen()
    found = {use.wanted.name: use.device for use in chosen.used}
    attached = {one.ifindex: one for one in observed.attachments if one.device}
    devices = []
    for wanted in gateway.spec.devices if gateway else ():
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
    return {
        "name": gateway.metadata.name if gateway else None,
        "generation": observed.generation,
        "devices": devices,
        "prefixes": [
            {
                "name": prefix.name,
                "prefix": str(prefix.prefix),
                "ipv4": [str(network) for network in prefix.ipv4],
                "eam": len(prefix.eam),
                "sourceRanges": None
                if prefix.load_balancer_source_ranges is None
                else len(prefix.load_balancer_source_ranges),
            }
            for prefix in (gateway.spec.prefixes if gateway else ())
        ],
        "problems": [
            *(trouble.message for trouble in device_troubles(chosen, observed, failed)),
            *(_other_problems(observed) if gateway else ()),
        ],
    }


def device_troubles(
    chosen: Chosen, observed: Observed, failed: Sequence[Trouble] = ()
) -> list[Trouble]:
    """What is wrong with the devices of a Gateway, as they are now."""
    troubles = [*chosen.troubles, *failed]
    attached = {one.ifindex for one in observed.attachments if one.device}
    for use in chosen.used:
        name = use.wanted.name
        if use.device.ifindex not in attached and name not in {one.name for one in failed}:
            what = f"device {name} has no program attached"
            troubles.append(Trouble(name, "DeviceNotAttached", what))
        elif not use.device.up:
            troubles.append(Trouble(name, "DeviceDown", f"device {name} is down"))
    return troubles


def _other_problems(observed: Observed) -> list[str]:
    problems = []
    if observed.slow_path is None:
        problems.append("the slow path is not there: nothing can be fragmented")
    if observed.more_than_destination:
        problems.append(f"next hops are not remembered: {observed.more_than_destination}")
    return problems
