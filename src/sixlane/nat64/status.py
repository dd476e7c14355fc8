# SPDX-License-Identifier: Apache-2.0
"""The gateway's state for people and programs: plain values, ready for JSON."""

from sixlane.datapath import Datapath
from sixlane.model import Gateway
from sixlane.nat64.observe import observe_gateway


def gateway_status(datapath: Datapath, gateway: Gateway | None) -> dict[str, object]:
    """Name, generation, devices with how they are attached, prefixes, and what is out of order."""
    observed = observe_gateway(datapath)
    attached = {one.ifindex: one for one in observed.attachments if one.device}
    devices = []
    problems = []
    for wanted in gateway.spec.devices if gateway else ():
        device = observed.devices.get(wanted.name)
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
        if device is None:
            problems.append(f"device {wanted.name} is not there")
        elif attachment is None:
            problems.append(f"device {wanted.name} has no program attached")
        elif not device.up:
            problems.append(f"device {wanted.name} is down")
    if gateway and observed.slow_path is None:
        problems.append("the slow path is not there: nothing can be fragmented")
    if gateway and observed.more_than_destination:
        problems.append(f"next hops are not remembered: {observed.more_than_destination}")
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
        "problems": problems,
    }
